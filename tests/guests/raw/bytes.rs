//! Files that are no components, or none that anybody should have to read.

use hm_tests::{COMPONENT, MODULE, leb128, section};

/// Files that are something else, with what each is.
pub(crate) fn strangers(whole: &[u8]) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let mut trailing = whole.to_vec();
    trailing.extend(b"garbage");
    let random = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    let program = std::fs::read("/proc/self/exe").unwrap()[..4096].to_vec();
    vec![
        ("empty", Vec::new(), "an empty file"),
        ("random", random.collect(), "no WebAssembly"),
        ("elf", program, "a native program"),
        ("text", b"(component)".to_vec(), "WebAssembly text"),
        ("module", MODULE.to_vec(), "a core module"),
        ("trailing", trailing, "no valid component"),
        ("header", COMPONENT.to_vec(), "no backend"),
    ]
}

/// A whole component cut in the header, inside a section's length, inside code, and before
/// its last byte.
pub(crate) fn cuts(whole: &[u8]) -> Vec<Vec<u8>> {
    let places = [
        4,
        7,
        9,
        12,
        whole.len() / 3,
        whole.len() / 2,
        whole.len() - 1,
    ];
    places.map(|end| whole[..end].to_vec()).into()
}

/// Types of components (0x41) or instances (0x42) within each other.
pub(crate) fn deep_types(kind: u8, depth: usize) -> Vec<u8> {
    // Each level: a type with one declaration, which is a type.
    let level = [kind, 1, 1];
    let mut body = vec![1];
    for _ in 0..depth {
        body.extend(level);
    }
    // The innermost has no declarations.
    body.extend([kind, 0]);
    [COMPONENT.to_vec(), section(7, &body)].concat()
}

/// Returns a number in signed LEB128: the last byte's sixth bit is its sign.
fn positive(number: usize) -> Vec<u8> {
    let mut bytes = leb128(number);
    if let Some(last) = bytes.last_mut().filter(|last| **last & 0x40 != 0) {
        *last |= 0x80;
        bytes.push(0);
    }
    bytes
}

/// `list<list<…>>`.
pub(crate) fn deep_lists(depth: usize) -> Vec<u8> {
    let mut body = leb128(depth + 1);
    // string
    body.push(0x73);
    for index in 0..depth {
        body.push(0x70);
        body.extend(positive(index));
    }
    [COMPONENT.to_vec(), section(7, &body)].concat()
}

/// Components inside each other.
pub(crate) fn deep_components(depth: usize) -> Vec<u8> {
    // Lengths first, from the inside, so that the bytes are written once.
    let mut lengths = vec![COMPONENT.len()];
    for _ in 0..depth {
        let inner = lengths[lengths.len() - 1];
        lengths.push(COMPONENT.len() + 1 + leb128(inner).len() + inner);
    }
    let mut bytes = Vec::new();
    for level in (0..=depth).rev() {
        bytes.extend(COMPONENT);
        if level > 0 {
            bytes.push(4);
            bytes.extend(leb128(lengths[level - 1]));
        }
    }
    bytes
}

/// A chain of core types, each a subtype of the one before.
pub(crate) fn deep_subtypes(depth: usize) -> Vec<u8> {
    let mut text = String::from("(component (core module (type $t0 (sub (struct)))");
    for number in 1..depth {
        text += &format!(" (type $t{number} (sub $t{} (struct)))", number - 1);
    }
    hm_tests::assemble(&(text + "))"))
}

/// A section that claims to hold so many types, and holds none.
pub(crate) fn many_types(count: u32) -> Vec<u8> {
    [COMPONENT.to_vec(), section(7, &leb128(count as usize))].concat()
}

/// Imports of functions of one type, each by a name of its own.
pub(crate) fn many_imports(count: usize) -> Vec<u8> {
    // A function without parameters and results.
    let types = [1, 0x40, 0, 1, 0];
    let mut body = leb128(count);
    for number in 0..count {
        let name = format!("f{number}");
        body.push(0);
        body.extend(leb128(name.len()));
        body.extend(name.as_bytes());
        body.extend([1, 0]);
    }
    [COMPONENT.to_vec(), section(7, &types), section(10, &body)].concat()
}

/// An import whose name is nearly all of the file.
pub(crate) fn long_name(bytes: usize) -> Vec<u8> {
    let mut body = vec![1, 0];
    body.extend(leb128(bytes));
    body.extend(vec![b'x'; bytes]);
    body.extend([1, 0]);
    [
        COMPONENT.to_vec(),
        section(7, &[1, 0x40, 0, 1, 0]),
        section(10, &body),
    ]
    .concat()
}

/// A section in which a tool names itself.
pub(crate) fn producers(tool: &str) -> Vec<u8> {
    let text = |text: &str| [leb128(text.len()), text.as_bytes().to_vec()].concat();
    let field = [text("processed-by"), vec![1], text(tool), text(tool)].concat();
    section(0, &[text("producers"), vec![1], field].concat())
}

/// A component of so many functions, each of so many calls: little to read, and much to
/// compile.
pub(crate) fn many_functions(count: usize, length: usize) -> Vec<u8> {
    // Of the first function.
    let body = [0x10, 0].repeat(length);
    let body = [&[0], body.as_slice(), &[0x0b]].concat();
    let body = [leb128(body.len()), body].concat();
    let functions = [leb128(count), vec![0; count]].concat();
    let code = [leb128(count), body.repeat(count)].concat();
    let module = [
        MODULE.to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &functions),
        section(10, &code),
    ]
    .concat();
    // The module, and an instance of it without arguments.
    [
        COMPONENT.to_vec(),
        section(1, &module),
        section(2, &[1, 0, 0, 0]),
    ]
    .concat()
}

//! Components made of bytes: sections put together by hand, and pieces grafted on real ones.

/// First bytes of a component.
pub const COMPONENT: [u8; 8] = [0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0];
/// First bytes of a core module.
pub const MODULE: [u8; 8] = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

/// Section of a nested component.
const NESTED: u8 = 4;
/// Section of instances, and what an instance is among imports and arguments.
const INSTANCES: u8 = 5;
/// Section of imports.
const IMPORTS: u8 = 10;

/// Returns a number in LEB128.
pub fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Returns a section: its number, its length, its body.
pub fn section(id: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    bytes.extend(leb128(body.len()));
    bytes.extend(body);
    bytes
}

/// Turns text into bytes, as `hm` itself never does.
///
/// # Panics
/// If it is no WebAssembly text.
pub fn assemble(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Adds a component without imports to a real one, which makes an instance of it when it is
/// itself instantiated: its `start` functions then run, its memories are then there.
///
/// # Panics
/// If `host` is no component.
pub fn graft(host: &[u8], piece: &[u8]) -> Vec<u8> {
    graft_with(host, piece, &[])
}

/// As [`graft`], for a piece that imports: each import by its name, and the beginning of the
/// name of the host's own import that it gets.
///
/// # Panics
/// If `host` is no component, or does not import that.
pub fn graft_with(host: &[u8], piece: &[u8], imports: &[(&str, &str)]) -> Vec<u8> {
    assert!(host.starts_with(&COMPONENT), "grafts need a component");
    let index = sections(host)
        .iter()
        .filter(|(id, _)| *id == NESTED)
        .count();
    let mut bytes = host.to_vec();
    bytes.extend(section(NESTED, piece));
    // One instance: of the component with this index, with these instances for arguments.
    let mut instance = vec![1, 0];
    instance.extend(leb128(index));
    instance.extend(leb128(imports.len()));
    for (name, of) in imports {
        let own = imported_instances(host);
        let at = own.iter().position(|own| own.starts_with(of));
        let at = at.unwrap_or_else(|| panic!("no import {of} among {own:?}"));
        instance.extend(leb128(name.len()));
        instance.extend(name.as_bytes());
        instance.push(INSTANCES);
        instance.extend(leb128(at));
    }
    bytes.extend(section(INSTANCES, &instance));
    bytes
}

/// Returns the outermost sections: number, and where the body lies.
///
/// # Panics
/// If these are no whole sections.
pub fn sections(component: &[u8]) -> Vec<(u8, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut at = COMPONENT.len();
    while at < component.len() {
        let id = component[at];
        at += 1;
        let length = read_leb128(component, &mut at);
        found.push((id, at..at + length));
        at += length;
    }
    assert_eq!(at, component.len(), "the last section is cut short");
    found
}

/// Returns the names of the instances that a component imports, in their order: they are the
/// first of all its instances.
fn imported_instances(component: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let imports = sections(component).into_iter();
    for (_, range) in imports.filter(|(id, _)| *id == IMPORTS) {
        let mut at = range.start;
        for _ in 0..read_leb128(component, &mut at) {
            // The kind of name, the name, what it is, and its type.
            at += 1;
            let length = read_leb128(component, &mut at);
            let name = &component[at..at + length];
            at += length;
            assert_eq!(component[at], INSTANCES, "tools import instances only");
            at += 1;
            read_leb128(component, &mut at);
            names.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    names
}

/// Reads a number in LEB128 and goes behind it.
fn read_leb128(bytes: &[u8], at: &mut usize) -> usize {
    let (mut number, mut shift) = (0_usize, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        number |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return number;
        }
    }
}

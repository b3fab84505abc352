//! Components made of bytes: sections put together by hand, and pieces grafted on real ones.

/// First bytes of a component.
pub const COMPONENT: [u8; 8] = [0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0];
/// First bytes of a core module.
pub const MODULE: [u8; 8] = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

/// Section of a nested component.
const NESTED: u8 = 4;
/// Section of instances.
const INSTANCES: u8 = 5;

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
    assert!(host.starts_with(&COMPONENT), "grafts need a component");
    let index = sections(host)
        .iter()
        .filter(|(id, _)| *id == NESTED)
        .count();
    let mut bytes = host.to_vec();
    bytes.extend(section(NESTED, piece));
    // One instance: of the component with this index, with no arguments.
    let mut instance = vec![1, 0];
    instance.extend(leb128(index));
    instance.push(0);
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
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = component[at];
            at += 1;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        found.push((id, at..at + length));
        at += length;
    }
    assert_eq!(at, component.len(), "the last section is cut short");
    found
}

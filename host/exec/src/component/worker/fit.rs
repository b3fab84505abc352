//! Whether a component's imports have the types of what this host offers under their names,
//! told before anybody is asked whether it may run.
//!
//! What decides is the engine's own linker, as later when the component is started. To that
//! end the file's beginning, up to its last import, is made into a component of its own: as
//! tools write them that is types and imports, and nothing that becomes code. A file that
//! hides imports behind code has each of its functions replaced by one that traps.

use wasmparser::{Parser, Payload};
use wasmtime::component::Component;

use crate::component::{engine, linking};

/// Bytes of a function that declares no locals, traps and ends; what lies between is filled
/// with instructions that do nothing.
const NO_LOCALS: u8 = 0x00;
const UNREACHABLE: u8 = 0x00;
const NOP: u8 = 0x01;
const END: u8 = 0x0b;

/// Returns how the imports of a valid component differ from the host's interfaces, in the
/// engine's words; none if they do not.
///
/// # Errors
/// The engine fails on what the parser found valid.
pub(super) fn misfit(bytes: &[u8]) -> Result<Option<String>, String> {
    let Some(imports) = imports(bytes)? else {
        return Ok(None);
    };
    let engine = engine::new().map_err(|error| error.to_string())?;
    let component =
        Component::from_binary(&engine, &imports).map_err(|error| format!("{error:#}"))?;
    linking::misfit(&engine, &component)
}

/// Returns a component with the imports of this one and without its code; none if it imports
/// nothing.
fn imports(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut depth = 0_usize;
    let mut end = 0;
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| error.to_string())? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => end = section.range().end,
            Payload::CodeSectionEntry(body) => bodies.push(body.range()),
            _ => {}
        }
    }
    if end == 0 {
        return Ok(None);
    }
    let mut imports = bytes[..end].to_vec();
    for body in bodies.into_iter().filter(|body| body.end <= end) {
        // The shortest one declares nothing and ends: it does nothing already.
        if let [locals, trap, rest @ .., last] = &mut imports[body] {
            (*locals, *trap, *last) = (NO_LOCALS, UNREACHABLE, END);
            rest.fill(NOP);
        }
    }
    Ok(Some(imports))
}

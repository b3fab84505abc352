//! What `describe` does, which has no request that could tell it: a mark in the file does. Who
//! writes another word there has another component.

use hm_backend_sdk::bindings::hm::backend::vm;
use hm_backend_sdk::{Capabilities, Description, log};

use crate::strings::NASTY;

/// The word stands behind the colon, filled up with dots.
static MARK: [u8; 32] = *b"misbehave-describes:honestly....";

pub(crate) fn describe() -> Description {
    // SAFETY: it is a static; read as it stands in the file, whatever the compiler knows of it.
    let mark = unsafe { std::ptr::read_volatile(&MARK) };
    let mark = String::from_utf8_lossy(&mark);
    let word = mark
        .split_once(':')
        .map_or("", |(_, word)| word.trim_end_matches('.'));
    let mut described = Description {
        name: "misbehave".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        // Not true, and not believed: it imports `vm`.
        capabilities: Capabilities::OBSERVER,
    };
    match word {
        "loops" => crate::exhaustion::spin(),
        "panics" => panic!("misbehaving in describe"),
        "escapes" => described.name = NASTY.into(),
        "capitals" => described.name = "Local".into(),
        "nothing" => described.name = String::new(),
        "length" => described.name = "x".repeat(65),
        "version" => described.version = "9".repeat(65),
        "size" => described.version = "9".repeat(100 << 20),
        "calls" => {
            let answered = wit_bindgen::block_on(vm::cache_lookup(0, None));
            log::error(format!(
                "while describing: {:?}",
                answered.map(|hit| hit.is_some())
            ));
        }
        _ => {}
    }
    described
}

//! Components of strangers, and what they must not be able to do: each guest in
//! `tests/guests` has its tests in the file of the same name here.
//!
//! Every case is held to the same besides its own: `hm` ends by itself and never by a
//! signal, says no word of a panic, holds little memory, leaves nothing behind, and a good
//! build works right afterwards.

mod echo;
mod grafted;
mod imports;
mod misbehave;
mod raw;
mod stage;

use std::collections::BTreeSet;

use hm_tests::workspace;

/// Guests that other tests are about, `tests/network` for one.
const FRIENDLY: &[&str] = &["broken", "caller", "prober", "rate"];

/// Returns the names of what lies in a folder of this crate, without their endings.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(workspace().join("tests").join(folder)).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            path.file_stem().unwrap().to_str().unwrap().to_owned()
        })
        .collect()
}

/// A hostile guest without tests, or tests without their guest, is a gap.
#[test]
fn every_guest_has_its_tests() {
    let ours = ["main", "stage"];
    let tests: BTreeSet<_> = names("hostile")
        .into_iter()
        .filter(|name| !ours.contains(&name.as_str()))
        .collect();
    let guests: BTreeSet<_> = names("guests")
        .into_iter()
        .filter(|name| !FRIENDLY.contains(&name.as_str()))
        .collect();
    assert_eq!(guests, tests, "guests on the left, tests on the right");
}

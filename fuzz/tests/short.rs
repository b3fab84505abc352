//! A short run of every target, with the kept corpus: part of every test run.

use std::time::{Duration, SystemTime};

use hm_fuzz::{run, targets};

/// Enough for the corpus and some thousand inputs of each.
const TIME: Duration = Duration::from_secs(2);

fn stands(wanted: &str) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = now.unwrap().as_nanos() as u64;
    let (name, target) = targets::ALL
        .iter()
        .find(|(name, _)| *name == wanted)
        .unwrap();
    match run(name, *target, TIME, seed) {
        Ok(tried) => assert!(tried.kept > 0 && tried.made > 0, "{tried:?}"),
        Err(found) => panic!("{} does not stand", found.display()),
    }
}

#[test]
fn components() {
    stands("components");
}

#[test]
fn events() {
    stands("events");
}

#[test]
fn documents() {
    stands("documents");
}

#[test]
fn policy() {
    stands("policy");
}

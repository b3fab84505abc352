//! Broken input for what reads strangers' bytes, and what must hold for each.
//!
//! A target is a function of bytes that panics where something is wrong, the shape that
//! every fuzzing engine takes. Those engines need a nightly compiler for their coverage,
//! which neither CI nor an author's machine has; the loop here needs none. It tries every
//! file of the kept corpus as it is, and then mixtures and mutations of them, from a seed
//! that is printed. What it finds is written into the corpus, and so tried ever after.

mod mutate;
pub mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mutate::Random;

/// Reads bytes, and panics if something does not hold.
pub type Target = fn(&[u8]);

/// What a run has tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// Files of the corpus.
    pub kept: usize,
    /// Inputs made of them.
    pub made: usize,
}

/// Tries the corpus of a target, and then what is made of it for as long as `time`.
///
/// # Errors
/// The file into which an input was written that the target did not stand.
pub fn run(name: &str, target: Target, time: Duration, seed: u64) -> Result<Tried, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let mut corpus = Vec::new();
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        if !stands(target, &bytes) {
            return Err(path);
        }
        corpus.push(bytes);
    }
    let mut random = Random::new(seed);
    let end = Instant::now() + time;
    let mut made = 0;
    while Instant::now() < end {
        let input = random.input(&corpus);
        if !stands(target, &input) {
            let path = folder.join(format!("found-{seed:016x}-{made}"));
            // It is told by its name even where it cannot be kept.
            let _ = std::fs::write(&path, &input);
            return Err(path);
        }
        made += 1;
    }
    Ok(Tried {
        kept: corpus.len(),
        made,
    })
}

fn stands(target: Target, bytes: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| target(bytes))).is_ok()
}

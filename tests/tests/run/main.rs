//! `hm run`, from outside: what a person or a program in front of it sees.

mod cache;
mod carry;
mod environment;
mod explain;
mod files;
mod flood;
mod keeping;
mod kill;
mod machines;
mod output;
mod parity;
mod pipe;
mod record;
mod registry;
mod report;
mod scale;
mod secrets;
mod sharing;
mod signals;
mod state;
mod terminal;
mod timeouts;
mod usage;
mod verdict;

use hm_tests::{Build, Project};

/// Runs the only pipeline of a project with JSON lines.
#[track_caller]
fn build(project: &Project, flags: &[&str], code: i32) -> Build {
    project.run().args(flags).run().expect(code).build()
}

/// Returns a text that no other process of this machine has on its command line.
fn marker() -> String {
    format!(
        "{}",
        1_000_000_000 + uuid::Uuid::new_v4().as_u128() % 1_000_000_000
    )
}

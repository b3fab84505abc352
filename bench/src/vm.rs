//! Rows over machines: each bar of the sandbox, docker beside what its daemon costs by
//! itself, and whole programs beside raw `docker` and `bwrap`.
//!
//! The floor of many rows is what any command costs: a static shell, started and waited for.

mod docker;
mod programs;
mod sandbox;
mod stage;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::measure::Process;
use crate::table::Table;

type Row = fn(&stage::Stage, &mut Table) -> Result<()>;

/// Every row, by name.
pub const ROWS: &[(&str, Row)] = &[
    ("vm-exec", sandbox::exec),
    ("vm-machine", sandbox::machine),
    ("vm-network", sandbox::own_network),
    ("vm-chain", sandbox::chain),
    ("vm-depth", sandbox::depth),
    ("vm-destroy", sandbox::destroy),
    ("vm-snapshot", sandbox::snapshot),
    ("vm-fan-out", sandbox::fan_out),
    ("vm-memory", sandbox::memory),
    ("vm-kill", sandbox::kill),
    ("vm-source", sandbox::source),
    ("vm-registry", sandbox::registry),
    ("vm-docker-step", docker::step),
    ("vm-docker-exec", docker::exec),
    ("vm-docker-sandbox", docker::beside_the_sandbox),
    ("vm-program-chain", programs::chain),
    ("vm-program-independent", programs::independent),
    ("vm-program-fan-out", programs::fan_out),
    ("vm-program-source", programs::source),
    ("vm-program-bwrap", programs::bwrap),
];

/// Measures the rows that are wanted.
pub fn run(hm: &Path, wanted: impl Fn(&str) -> bool, table: &mut Table) -> Result<()> {
    if !ROWS.iter().any(|(name, _)| wanted(name)) {
        return Ok(());
    }
    let stage = stage::Stage::new(hm)?;
    for (name, row) in ROWS {
        if wanted(name) {
            use anyhow::Context;
            row(&stage, table).with_context(|| (*name).to_owned())?;
        }
    }
    Ok(())
}

/// Starts a static shell and waits for it.
fn floor() -> Result<Duration> {
    spawn(Command::new("busybox").args(["sh", "-c", "true"]))
}

/// Starts the host's shell and waits for it.
fn host_shell() -> Result<Duration> {
    spawn(Command::new("/bin/sh").args(["-c", "true"]))
}

fn spawn(command: &mut Command) -> Result<Duration> {
    let begun = Instant::now();
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "{command:?} ends with {status}");
    Ok(begun.elapsed())
}

/// A figure without memory.
fn figure(wall: Duration) -> Process {
    Process { wall, peak: 0 }
}

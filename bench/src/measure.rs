//! Times whole processes and calls, in pairs.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// One process, from its start to its end.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    /// Wall time.
    pub wall: Duration,
    /// Largest resident memory of the process itself, in bytes.
    pub peak: u64,
}

/// Runs a command to its end and insists on exit code 0.
pub fn process(command: &mut Command) -> Result<Process> {
    command.stdin(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn()?;
    let end = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    // The high-water mark can only be read while the process is there. The end is told and not
    // looked for: looks would take time from the process, and what is short is over between two.
    let (mut peak, mut pause) = (0, Duration::from_millis(1));
    while poll(
        &mut [PollFd::new(&end, PollFlags::IN)],
        Some(&Timespec::try_from(pause)?),
    )? == 0
    {
        peak = peak.max(resident(child.id()));
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    let wall = begun.elapsed();
    let status = child.wait()?;
    if !status.success() {
        bail!(
            "{command:?} ended with {:?} (signal {:?})",
            status.code(),
            status.signal()
        );
    }
    Ok(Process { wall, peak })
}

/// Returns the largest resident memory so far, in bytes; 0 for a process that is gone.
fn resident(pid: u32) -> u64 {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
        return 0;
    };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Calls both, in turns, and returns the figures of each.
pub fn pairs<A, B>(
    rounds: usize,
    mut baseline: impl FnMut() -> Result<A>,
    mut subject: impl FnMut() -> Result<B>,
) -> Result<(Vec<A>, Vec<B>)> {
    // One of each warms what can be warm.
    baseline()?;
    subject()?;
    let mut figures = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    for _ in 0..rounds {
        figures.0.push(baseline()?);
        figures.1.push(subject()?);
    }
    Ok(figures)
}

/// Calls all of them, in turns, and returns the summary of each.
pub fn turns<const N: usize>(
    rounds: usize,
    mut subjects: [&mut dyn FnMut() -> Result<Process>; N],
) -> Result<[Process; N]> {
    let mut figures = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (figures, run) in figures.iter_mut().zip(&mut subjects) {
            figures.push(run()?);
        }
    }
    Ok(figures.map(|runs| summary(&runs)))
}

/// Returns the middle value.
pub fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values[values.len() / 2]
}

/// Returns the median wall time and the largest memory.
pub fn summary(runs: &[Process]) -> Process {
    Process {
        wall: median(runs.iter().map(|run| run.wall).collect()),
        peak: runs.iter().map(|run| run.peak).max().unwrap_or(0),
    }
}

//! The process that reads or compiles: limits first, then the bytes.

use std::ffi::OsStr;
use std::io::{self, Read, Write};

use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal, setrlimit};

use super::{Budget, DONE, Job, MAGIC, REFUSED, fit, report};
use crate::component::engine;

/// Threads that compile at most: each holds some 40 MiB, and a limit on memory should not
/// depend on the machine.
const THREADS: usize = 8;

/// Address space for each thread, and for the program itself: the C library reserves 64 MiB
/// for a thread, and twice that for a moment.
const RESERVED: u64 = 128 << 20;

/// Does a worker's job if `argument` asks for one, and returns the exit code for the
/// process.
///
/// A program that embeds this crate calls this first in its `main`, with its last
/// argument, before any thread exists; [`RuntimeConfig`](crate::RuntimeConfig) names it as
/// the worker.
pub fn worker_main(argument: &OsStr) -> Option<i32> {
    let (job, budget) = Job::of(argument.to_str()?)?;
    Some(match work(job, &budget) {
        Ok(()) => 0,
        // Nobody is left to tell, or the limits could not be set; the parent sees the code.
        Err(_) => 1,
    })
}

fn work(job: Job, budget: &Budget) -> io::Result<()> {
    confine(budget)?;
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    let answer = match job {
        Job::Inspect => inspect(&bytes),
        Job::Compile => compile(&bytes),
    };
    let (tag, payload) = match answer {
        Ok(payload) => (DONE, payload),
        Err(reason) => (REFUSED, reason.into_bytes()),
    };
    let mut out = io::stdout().lock();
    out.write_all(MAGIC)?;
    out.write_all(&[tag])?;
    out.write_all(&payload)?;
    out.flush()
}

fn inspect(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut report = report::read(bytes)?;
    report.misfit = fit::misfit(bytes)?;
    serde_json::to_vec(&report).map_err(|error| error.to_string())
}

fn threads() -> usize {
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(THREADS)
}

fn compile(bytes: &[u8]) -> Result<Vec<u8>, String> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads())
        .build_global()
        .map_err(|error| error.to_string())?;
    let engine = engine::new().map_err(|error| error.to_string())?;
    engine
        .precompile_component(bytes)
        .map_err(|error| format!("{error:#}"))
}

/// Gives up everything that the job does not need. What is set here cannot be taken back.
fn confine(budget: &Budget) -> io::Result<()> {
    // Whoever waits for the answer has gone: nobody needs it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    // No core file, and none for a handler of core files, which no limit would stop.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let threads = threads() as u64;
    let limits = [
        // In whole seconds, of which none would be no limit.
        (Resource::Cpu, budget.cpu().as_secs().max(1)),
        (Resource::Data, budget.memory_bytes),
        // Allocators reserve room for each thread, which is no memory until it is written to.
        (Resource::As, budget.memory_bytes + (threads + 4) * RESERVED),
        (Resource::Stack, 8 << 20),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, 16),
    ];
    for (resource, most) in limits {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_arguments_are_not_a_workers() {
        for argument in [
            "",
            "run",
            "__sandbox",
            "__inspect2",
            "__compile",
            "__compile=1",
        ] {
            assert_eq!(worker_main(OsStr::new(argument)), None);
        }
    }
}

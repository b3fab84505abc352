//! Starts a worker, gives it the bytes, and takes its answer within its limits.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::{Budget, DONE, Job, MAGIC, REFUSED, Report};
use crate::component::Limits;

/// Between two looks at a worker that has answered and is about to end.
const LOOK: Duration = Duration::from_millis(1);

/// Exit code of a Rust program that panicked.
const PANICKED: i32 = 101;

/// The program that reads and compiles components.
#[derive(Debug, Clone)]
pub(in crate::component) struct Worker {
    command: Vec<OsString>,
}

/// Why a worker gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerEnd {
    /// It took longer than it may.
    #[error("ran out of time ({})", shown(*.0))]
    Time(Duration),
    /// It ended by a signal: its stack or its memory was used up.
    #[error(
        "crashed (signal {signal}), as it does on what nests too deeply or needs more than {memory_mib} MiB"
    )]
    Crashed {
        /// Number of the signal.
        signal: i32,
        /// What it may use.
        memory_mib: u64,
    },
    /// It ended by itself, with this exit code and no answer.
    #[error("crashed (exit code {0})")]
    Gone(i32),
    /// It answered more than it may.
    #[error("produced more than {0} bytes")]
    TooMuch(usize),
    /// It could not be started, or is another program.
    #[error("could not be used: {0}")]
    Unusable(String),
}

/// What a worker's job came to, if not to what was asked for.
#[derive(Debug)]
pub(in crate::component) enum WorkerError {
    /// The bytes are at fault; says why.
    Refused(String),
    /// The worker did not come to an end.
    Ended(WorkerEnd),
}

/// Returns a limit of time as people write it.
fn shown(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{} s", time.as_secs()),
        _ => format!("{} ms", time.as_millis()),
    }
}

impl From<WorkerEnd> for WorkerError {
    fn from(end: WorkerEnd) -> Self {
        Self::Ended(end)
    }
}

impl Worker {
    pub(in crate::component) fn new(command: Vec<OsString>) -> Self {
        Self { command }
    }

    /// Has the bytes validated and listed. Blocks.
    pub(in crate::component) fn inspect(&self, bytes: &[u8]) -> Result<Report, WorkerError> {
        let answer = self.work(Job::Inspect, &Job::reading(), bytes)?;
        serde_json::from_slice(&answer).map_err(|error| {
            WorkerEnd::Unusable(format!("its answer is not understood: {error}")).into()
        })
    }

    /// Has the bytes compiled, within the limits on that. Blocks.
    pub(in crate::component) fn compile(
        &self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Vec<u8>, WorkerError> {
        self.work(Job::Compile, &Job::compiling(limits), bytes)
    }

    fn work(&self, job: Job, budget: &Budget, bytes: &[u8]) -> Result<Vec<u8>, WorkerError> {
        let mut child = self
            .spawn(&job.argument(budget))
            .map_err(|error| WorkerEnd::Unusable(error.to_string()))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(WorkerEnd::Unusable("it has no streams".into()).into());
        };
        let (answer, status) = std::thread::scope(|scope| {
            // A worker that has ended does not read on; the write fails then, as it should.
            scope.spawn(move || drop(stdin.write_all(bytes)));
            let answer = take(stdout, budget);
            let status = end(&mut child, answer.is_ok());
            (answer, status)
        });
        let answer = answer?;
        let status = status.map_err(|error| WorkerEnd::Unusable(error.to_string()))?;
        if let Some(signal) = status.signal() {
            return Err(if signal == Signal::XCPU.as_raw() {
                WorkerEnd::Time(budget.cpu())
            } else {
                WorkerEnd::Crashed {
                    signal,
                    memory_mib: budget.memory_bytes >> 20,
                }
            }
            .into());
        }
        match status.code() {
            // As a panic ends a program; hostile bytes are the likely cause.
            Some(code) if code == PANICKED && answer.is_empty() => {
                Err(WorkerEnd::Gone(code).into())
            }
            _ => understand(answer),
        }
    }

    fn spawn(&self, argument: &str) -> io::Result<Child> {
        let mut words = self.command.iter();
        let program = words
            .next()
            .ok_or_else(|| io::Error::other("no program is named for it"))?;
        Command::new(program)
            .args(words)
            .arg(argument)
            .env_clear()
            .current_dir("/")
            // Not the user's: Ctrl-C is for this process, which ends the worker with itself.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What the engine prints about hostile bytes is never shown.
            .stderr(Stdio::null())
            .spawn()
    }
}

/// Reads the answer to its end.
fn take(mut stdout: ChildStdout, budget: &Budget) -> Result<Vec<u8>, WorkerEnd> {
    let deadline = Instant::now() + budget.wall;
    let most = budget.answer_bytes + MAGIC.len() + 1;
    let mut answer = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or(Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        });
        let ready = match poll(&mut [PollFd::new(&stdout, PollFlags::IN)], Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => continue,
            ready => ready.map_err(|error| WorkerEnd::Unusable(error.to_string()))?,
        };
        if ready == 0 {
            return Err(WorkerEnd::Time(budget.wall));
        }
        match stdout.read(&mut chunk) {
            Ok(0) => return Ok(answer),
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(WorkerEnd::Unusable(error.to_string())),
        }
        if answer.len() > most {
            return Err(WorkerEnd::TooMuch(budget.answer_bytes));
        }
    }
}

/// Waits for the end of a worker. One that has answered gets a moment for it: its answer's
/// end is its own end.
fn end(child: &mut Child, has_answered: bool) -> io::Result<ExitStatus> {
    let patience = Instant::now() + Duration::from_millis(500);
    while has_answered && Instant::now() < patience {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(LOOK);
    }
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended just now.
        let _ = kill_process_group(group, Signal::KILL);
    }
    child.wait()
}

fn understand(mut answer: Vec<u8>) -> Result<Vec<u8>, WorkerError> {
    let tag = answer
        .strip_prefix(MAGIC.as_slice())
        .and_then(|rest| rest.first().copied());
    answer.drain(..(MAGIC.len() + 1).min(answer.len()));
    match tag {
        Some(DONE) => Ok(answer),
        Some(REFUSED) => Err(WorkerError::Refused(crate::sequencer::clean::message(
            &String::from_utf8_lossy(&answer),
        ))),
        _ => Err(WorkerEnd::Unusable(
            "its answer is no worker's; does its `main` call `hm_exec::worker_main`?".into(),
        )
        .into()),
    }
}

//! The Python process: no input, bounded output, bounded time, nothing left behind.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{Python, Request};
use crate::error::PipelineError;

const SCRIPT: &str = include_str!("render.py");

/// Most bytes of an answer. 20,000 steps take about 8 MB.
const LONGEST_ANSWER: u64 = 512 * 1024 * 1024;

/// Most bytes that are kept of what the files print.
const LONGEST_PRINT: u64 = 64 * 1024;

/// How long pipes may stay open after the process has ended: what it started may
/// have inherited them.
const DRAIN: Duration = Duration::from_secs(5);

/// A process that has ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) timed_out: bool,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// Runs the script to its end, or to the timeout.
pub(super) fn run(python: &Python, request: &Request<'_>) -> Result<Ended, PipelineError> {
    let mut child = command(python, request)
        .spawn()
        .map_err(|error| missing(python, error))?;
    let stdout = child
        .stdout
        .take()
        .map(|pipe| collect(pipe, LONGEST_ANSWER));
    let stderr = child.stderr.take().map(|pipe| collect(pipe, LONGEST_PRINT));
    let timed_out = !wait(&child, python.timeout);
    // Before the child is reaped, so that its number cannot be another's by now. It
    // leads a group of its own, and a group without members is no error.
    if let Some(group) = pid(&child) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = child
        .wait()
        .map_err(|error| PipelineError::io("cannot wait for Python", error))?;
    let drained = |pipe: Option<Receiver<Vec<u8>>>| {
        pipe.and_then(|pipe| pipe.recv_timeout(DRAIN).ok())
            .unwrap_or_default()
    };
    Ok(Ended {
        status,
        timed_out,
        stdout: drained(stdout),
        stderr: drained(stderr),
    })
}

fn command(python: &Python, request: &Request<'_>) -> Command {
    let mut command = Command::new(&python.executable);
    command
        .arg("-c")
        .arg(SCRIPT)
        .arg(std::process::id().to_string())
        .arg(request.now.to_string())
        .arg(request.org)
        .args(
            request
                .files
                .iter()
                .map(|file| request.root.join(&file.path)),
        )
        .current_dir(request.root)
        .env_clear()
        .envs(python.env.iter().map(|(name, value)| (name, value)))
        // The project's folder is the user's: no caches are left in it.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

fn missing(python: &Python, error: std::io::Error) -> PipelineError {
    PipelineError::Unavailable {
        message: format!(
            "cannot run `{}`, which renders `.hm/*.py`",
            python.executable.display()
        ),
        hint: Some(
            "install Python 3.11 or newer, or write the pipeline as `.hm/NAME.toml`".to_owned(),
        ),
        source: Some(error),
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// Waits until the child has ended, without reaping it; false if it does not in time.
fn wait(child: &Child, timeout: Duration) -> bool {
    let Some(pid) = pid(child) else { return true };
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
        // Nobody listens after the timeout.
        let _ = ended.send(());
    });
    end.recv_timeout(timeout).is_ok()
}

/// Reads the pipe to its end, keeps the first `limit` bytes.
fn collect(mut pipe: impl Read + Send + 'static, limit: u64) -> Receiver<Vec<u8>> {
    let (collected, all) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = pipe.by_ref().take(limit).read_to_end(&mut bytes);
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        let _ = collected.send(bytes);
    });
    all
}

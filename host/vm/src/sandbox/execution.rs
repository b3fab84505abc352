//! A command in a machine, from this process's side.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use futures::FutureExt;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use tokio::net::unix::pipe::Receiver;

use super::disk::{self, FLOOR, Over};
use super::environment::Environment;
use super::machine::Conversation;
use super::wire::{End, Exec, ToMachine};
use crate::backend::{ExecSpec, ExecStatus, Execution, Output};
use crate::error::VmError;

/// What a pipe holds where the system allows it: the reader is woken less often.
const PIPE: usize = 1 << 20;

/// As shells tell the end by signal 9.
const KILLED: i32 = 137;

/// Kills its command when it is dropped before the command has ended.
struct Running {
    conversation: Arc<Conversation>,
    job: u64,
    over: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            self.conversation.kill(self.job);
        }
    }
}

/// Starts a command and returns when it runs.
pub(super) async fn start(
    conversation: &Arc<Conversation>,
    environment: &Environment,
    spec: ExecSpec,
) -> Result<Execution, VmError> {
    let (stdout, stdout_end) = output()?;
    let (stderr, stderr_end) = output()?;
    let mut env = environment.variables.clone();
    env.extend(spec.env);
    let expected = conversation.expect()?;
    let mut running = Running {
        conversation: Arc::clone(conversation),
        job: expected.job,
        over: false,
    };
    let kills = conversation.cgroup.memory_kills();
    let exec = ToMachine::Exec(Exec {
        job: expected.job,
        command: spec.command,
        env,
        working_dir: working_dir(spec.working_dir),
        identity: environment.identity.clone(),
        timeout_ms: spec
            .timeout
            .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        is_last: spec.is_last,
    });
    conversation
        .link
        .send(&exec, &[stdout_end.as_fd(), stderr_end.as_fd()])
        .await
        .map_err(|_| conversation.gone())?;
    drop((stdout_end, stderr_end));
    match expected.started.await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => {
            running.over = true;
            return Err(failure.into());
        }
        Err(_) => return Err(conversation.gone()),
    }
    let ended = expected.ended;
    let status = async move {
        let end = ended.await;
        running.over = true;
        let status = match end {
            Ok(End::Exited(0)) => return Ok(ExecStatus::Exited(0)),
            Ok(End::Exited(code)) => ExecStatus::Exited(code),
            Ok(End::Crowded(code)) => ExecStatus::OutOfProcesses(code),
            Ok(End::Signaled(signal)) => ExecStatus::Signaled(signal),
            Ok(End::TimedOut) => ExecStatus::TimedOut,
            Err(_) => return killed(&running.conversation),
        };
        let now = running.conversation.cgroup.memory_kills();
        let starved = now > kills && status != ExecStatus::TimedOut;
        Ok(if starved {
            ExecStatus::OutOfMemory
        } else {
            for_want_of_space(&running.conversation, status)
        })
    };
    Ok(Execution {
        stdout,
        stderr,
        status: status.boxed(),
    })
}

/// How a command ended whose machine has gone.
fn killed(machine: &Conversation) -> Result<ExecStatus, VmError> {
    match machine.over.get() {
        Some(Over::Limit) => Ok(ExecStatus::OutOfDisk),
        Some(Over::Disk) => Ok(ExecStatus::DiskFull(KILLED)),
        None => Err(machine.gone()),
    }
}

/// A command that fails on a full disk has most likely failed for that.
fn for_want_of_space(machine: &Conversation, status: ExecStatus) -> ExecStatus {
    match status {
        ExecStatus::Exited(code)
            if disk::free(&machine.folder).is_some_and(|free| free < FLOOR) =>
        {
            ExecStatus::DiskFull(code)
        }
        status => status,
    }
}

/// Relative to where commands start unless told otherwise.
fn working_dir(asked: Option<String>) -> String {
    match asked {
        Some(folder) if folder.starts_with('/') => folder,
        Some(folder) => format!("/workspace/{folder}"),
        None => "/workspace".to_owned(),
    }
}

fn output() -> Result<(Output, OwnedFd), VmError> {
    let failed = |error: std::io::Error| {
        let remedy =
            "raise the limit on open files (`ulimit -n`), or run fewer steps at once (`-j`)";
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => VmError::Unavailable {
                cause: format!("cannot make a pipe for a command's output: {error}"),
                remedy: remedy.to_owned(),
            },
            _ => VmError::Other(format!(
                "cannot make a pipe for a command's output: {error}"
            )),
        }
    };
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    // Refused when this user's pipes hold much already; they then are of the usual size.
    let _ = fcntl_setpipe_size(&reader, PIPE);
    rustix::io::ioctl_fionbio(&reader, true).map_err(|error| failed(error.into()))?;
    let reader = Receiver::from_owned_fd_unchecked(reader).map_err(failed)?;
    Ok((Box::new(reader), writer))
}

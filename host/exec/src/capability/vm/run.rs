//! `machine.run`: the plan's own command, observed by the host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use hm_plugin_protocol::{LogStream, StepId};
use hm_vm::{ExecSpec, ExecStatus, MachineOptions, Output};
use tokio::io::AsyncReadExt;

use super::machine::{FileSystem, GuestMachine};
use super::{CallError, VmSession, wit};
use crate::sequencer::clean::one_line;
use crate::sequencer::{Entry, Observed, RunRefused};
use crate::session::Session;

/// How much is read at once: a few reads a megabyte, and little held a step.
const CHUNK: usize = 128 << 10;
/// How long the beginning of a line waits here for its rest. Then it is handed on, so that it
/// is shown also if the channel is never read to its end.
const REST: Duration = Duration::from_millis(20);

/// Runs a step's command on a machine and waits until all that it printed is queued.
///
/// Safe to drop: the command is killed, and what it had printed is still shown.
pub(super) async fn run(
    session: &Arc<Session>,
    vm: &VmSession,
    machine: Arc<GuestMachine>,
    step: StepId,
) -> Result<wit::ExecStatus, CallError> {
    vm.check("machine.run", step)?;
    let env = revealed(session, vm, step)?;
    let command = machine.begin_step(&vm.base_of(step), vm.secrets_of(step))?;
    let (stopped, again) = session
        .ledger()
        .begin_run(step)
        .map_err(|refused| match refused {
            RunRefused::Violation(violation) => CallError::Violation(violation),
            RunRefused::Denied(text) => CallError::denied(text),
        })?;
    let _running = InFlight { session, step };
    let drain = Drain::new(session.clone(), step);
    let _claimed = vm.claims.running(step);
    session.tell(again.into_iter().collect()).await;

    let planned = &vm.plan.steps[step as usize];
    let spec = ExecSpec {
        command: planned.command.clone(),
        env,
        working_dir: None,
        timeout: planned.timeout,
        is_last: vm.is_last(step),
    };
    let started = tokio::select! {
        biased;
        _ = session.cancelled() => return Err(CallError::CANCELLED),
        () = stopped.notified() => return Err(CallError::CANCELLED),
        started = machine.exec(vm, spec) => started?,
    };
    let mut pumping = Box::pin(pump(drain, started.stdout, started.stderr));
    // What has ended already needs no task of its own.
    let pumping = match futures::poll!(pumping.as_mut()) {
        Poll::Ready(()) => None,
        Poll::Pending => Some(session.pumps.spawn(pumping)),
    };
    let status = tokio::select! {
        biased;
        // Dropping the status kills the command.
        _ = session.cancelled() => Err(CallError::CANCELLED),
        // The backend has told the step's end, and does not wait for this one.
        () = stopped.notified() => Err(CallError::CANCELLED),
        status = started.status => status.map_err(|error| vm.guest_error(error)),
    };
    if let Some(pumping) = pumping {
        // A pump that panicked has given its drain back.
        let _ = pumping.await;
    }
    let status = status?;
    let cause = cause(status, &machine.options);
    let observed = observe(status);
    let passed = observed.code() == 0;
    if !command.leaves(if passed {
        FileSystem::After(step)
    } else {
        FileSystem::Other
    }) {
        return Err(CallError::denied(
            "another command ran on the machine meanwhile",
        ));
    }
    session.ledger().end_run(step, observed, cause);
    Ok(match observed {
        Observed::Exited(code) => wit::ExecStatus::Exited(code),
        Observed::Signaled(signal) => wit::ExecStatus::Signaled(signal),
        Observed::TimedOut => wit::ExecStatus::TimedOut,
        Observed::OutOfMemory => wit::ExecStatus::OutOfMemory,
    })
}

/// Returns the step's environment with the values of its secrets: the one place where they
/// are put in.
fn revealed(
    session: &Session,
    vm: &VmSession,
    step: StepId,
) -> Result<BTreeMap<String, String>, CallError> {
    let planned = &vm.plan.steps[step as usize].env;
    let reveal = |(name, value): (&String, &String)| {
        let value = session.secrets().reveal(value);
        let value = value.map_err(|secret| {
            CallError::denied(format!("there is no secret `{}`", one_line(secret)))
        })?;
        Ok((name.clone(), value.to_owned()))
    };
    planned.iter().map(reveal).collect()
}

fn observe(status: ExecStatus) -> Observed {
    match status {
        ExecStatus::Exited(code) => Observed::Exited(code),
        ExecStatus::Signaled(signal) => Observed::Signaled(signal),
        ExecStatus::TimedOut | ExecStatus::OutOfProcesses(None) => Observed::TimedOut,
        ExecStatus::OutOfMemory => Observed::OutOfMemory,
        // It was killed; the contract has no word for why, so the host tells that itself.
        ExecStatus::OutOfDisk => Observed::Signaled(9),
        ExecStatus::DiskFull(code) | ExecStatus::OutOfProcesses(Some(code)) => {
            Observed::Exited(code)
        }
    }
}

/// What ran out, for the step's end.
fn cause(status: ExecStatus, options: &MachineOptions) -> Option<String> {
    let limit = |mib: Option<u64>| {
        mib.map(|mib| match (mib % 1024, mib) {
            (0, mib) => format!(" (limit {} GiB)", mib / 1024),
            (_, mib) => format!(" (limit {mib} MiB)"),
        })
        .unwrap_or_default()
    };
    match status {
        ExecStatus::OutOfMemory => Some(format!(
            "out of memory{}",
            limit(options.memory_mib.map(u64::from))
        )),
        ExecStatus::OutOfDisk => Some(format!("out of disk{}", limit(options.disk_mib))),
        ExecStatus::DiskFull(_) => Some(
            "the disk is full that machines write to: free some space, for example with `hm cache \
             prune`, or set HM_STATE_DIR to another one"
                .to_owned(),
        ),
        ExecStatus::OutOfProcesses(_) => {
            Some(format!("out of processes (limit {})", options.processes))
        }
        ExecStatus::Exited(_) | ExecStatus::Signaled(_) | ExecStatus::TimedOut => None,
    }
}

/// Queues everything that the command prints. A task of its own: what was printed before
/// the command was killed is shown, whatever became of the call.
async fn pump(drain: Drain, stdout: Output, stderr: Output) {
    tokio::join!(
        pump_channel(&drain, LogStream::Stdout, stdout),
        pump_channel(&drain, LogStream::Stderr, stderr),
    );
    drain.done().await;
}

/// Reads a channel to its end. A flood is handed on in whole lines, so that nobody has to put
/// them together: they stay in the bytes that they were read into.
async fn pump_channel(drain: &Drain, stream: LogStream, mut output: Output) {
    let mut buffer = BytesMut::new();
    loop {
        if buffer.capacity() - buffer.len() < CHUNK / 2 {
            buffer.reserve(CHUNK);
        }
        let held = buffer.len();
        let read = output.read_buf(&mut buffer);
        let read = if held == 0 {
            read.await
        } else {
            // A read that is dropped has read nothing.
            match tokio::time::timeout(REST, read).await {
                Ok(read) => read,
                Err(_) => {
                    drain.tell(stream, buffer.split()).await;
                    continue;
                }
            }
        };
        match read {
            Ok(0) => break,
            Ok(_) => {
                let line_end = memchr::memrchr(b'\n', &buffer[held..]);
                let whole = match line_end {
                    Some(at) => held + at + 1,
                    None if buffer.len() < CHUNK => 0,
                    None => buffer.len(),
                };
                drain.tell(stream, buffer.split_to(whole)).await;
            }
            Err(error) => {
                tracing::warn!(
                    step = drain.step,
                    "the output of a command broke off: {error}"
                );
                break;
            }
        }
    }
    drain.tell(stream, buffer).await;
}

/// A run that the guest waits for; over on drop.
struct InFlight<'a> {
    session: &'a Session,
    step: StepId,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.session.ledger().leave_run(self.step);
    }
}

/// The step's end waits for it; given back when all output is queued, or on drop.
struct Drain {
    session: Arc<Session>,
    step: StepId,
    is_done: bool,
}

impl Drain {
    fn new(session: Arc<Session>, step: StepId) -> Self {
        Self {
            session,
            step,
            is_done: false,
        }
    }

    async fn tell(&self, stream: LogStream, printed: BytesMut) {
        if !printed.is_empty() {
            let output = Entry::Output {
                step: self.step,
                stream,
                data: printed.freeze(),
            };
            self.session.tell(vec![output]).await;
        }
    }

    async fn done(mut self) {
        self.is_done = true;
        let end = self.session.ledger().drained(self.step);
        self.session.tell(end.into_iter().collect()).await;
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        if let Some(end) = self.session.ledger().drained(self.step) {
            let session = self.session.clone();
            // A drop cannot wait for room in the queue.
            tokio::spawn(async move { session.tell(vec![end]).await });
        }
    }
}

//! A command in a container, from this process's side.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::errors::Error;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, EventsOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use super::command::{self, Around};
use super::container::Container;
use super::engine::Core;
use super::failure::is_absent;
use super::output::{self, Frames};
use super::server::{Code, Input, Server, Slot};
use crate::backend::{ExecStatus, Execution};
use crate::error::VmError;

/// Between asking a command to end, after its timeout, and making it.
const GRACE: Duration = Duration::from_secs(2);
/// How long the daemon may take to end what was killed.
const DEATH: Duration = Duration::from_secs(20);
/// How far the daemon's clock may be from ours. A machine that ran out of memory runs no more
/// steps, so that an older event is not taken for a newer one.
const SKEW: Duration = Duration::from_secs(5);
/// Room for what the daemon sends at once.
const ROOM: usize = 64 << 10;

/// A command that was started, before anybody waits for it.
pub(super) struct Started {
    pub(super) core: Arc<Core>,
    pub(super) container: Arc<Container>,
    pub(super) kind: Kind,
    pub(super) mark: String,
    pub(super) since: SystemTime,
    pub(super) has_memory_limit: bool,
    pub(super) machine: String,
    /// Of the machine.
    pub(super) server: Slot,
    /// Counts it among the machine's commands.
    pub(super) _running: Running,
}

/// How a command runs.
pub(super) enum Kind {
    /// As the container's first process.
    First,
    /// By the first process, to which it was handed.
    Handed(Code),
    /// Beside it, with this identity.
    Exec(String),
}

/// Counts itself among a machine's commands as long as it is there.
pub(super) struct Running(Arc<AtomicUsize>);

impl Running {
    pub(super) fn begin(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(counter))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Attaches to a container that does not run yet, so that not a byte is missed, starts it,
/// and hands it what it reads, if anything.
pub(super) async fn start_first(
    core: &Core,
    container: &Container,
    input: Option<Vec<u8>>,
) -> Result<Frames, VmError> {
    let (frames, mut writer) = attach_and_start(core, container, input.is_some()).await?;
    if let Some(input) = input {
        let written = async {
            writer.write_all(&input).await?;
            writer.flush().await
        };
        written
            .await
            .map_err(|error| core.daemon.failed("hand over a step's variables")(error.into()))?;
    }
    Ok(frames)
}

/// Starts a container whose first process takes commands; none if that cannot.
pub(super) async fn start_server(
    core: &Core,
    container: &Container,
) -> Result<Option<Server>, VmError> {
    let (frames, input) = attach_and_start(core, container, true).await?;
    Ok(Server::meet(frames, input).await)
}

async fn attach_and_start(
    core: &Core,
    container: &Container,
    reads: bool,
) -> Result<(Frames, Input), VmError> {
    let options = AttachContainerOptionsBuilder::new()
        .stream(true)
        .stdin(reads)
        .stdout(true)
        .stderr(true)
        .build();
    let attached = core
        .daemon
        .docker
        .attach_container(container.name(), Some(options))
        .await
        .map_err(core.daemon.failed("attach to a container"))?;
    container.start().await?;
    Ok((output::frames(attached.output), attached.input))
}

/// Starts a command in a container that runs; returns its identity and its output.
pub(super) async fn start_exec(
    core: &Core,
    container: &Container,
    around: &Around,
    env: Vec<String>,
    folder: String,
) -> Result<(String, Frames), VmError> {
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        env: Some(env),
        cmd: Some(around.argv.clone()),
        working_dir: Some(folder),
        ..ExecConfig::default()
    };
    let docker = &core.daemon.docker;
    let made = docker
        .create_exec(container.name(), config)
        .await
        .map_err(core.daemon.failed("run a command"))?;
    let options = StartExecOptions {
        output_capacity: Some(ROOM),
        ..StartExecOptions::default()
    };
    match docker.start_exec(&made.id, Some(options)).await {
        Ok(StartExecResults::Attached { output, .. }) => Ok((made.id, output::frames(output))),
        Ok(StartExecResults::Detached) => {
            Err(VmError::Other("docker detached from a command".to_owned()))
        }
        Err(error) => Err(core.daemon.failed("run a command")(error)),
    }
}

impl Started {
    /// Lets the command go on by itself, and returns how to read it and what to wait for.
    pub(super) fn run(self, frames: Frames, timeout: Option<Duration>) -> Execution {
        let (sinks, stdout, stderr) = output::channels();
        let (told, ended) = oneshot::channel();
        let (held, let_go) = oneshot::channel::<()>();
        let core = Arc::clone(&self.core);
        core.chores.begin(async move {
            let status = self.watch(frames, sinks, timeout, let_go).await;
            let _ = told.send(status);
        });
        let status: BoxFuture<'static, Result<ExecStatus, VmError>> = async move {
            // Dropping this drops what is held, and that kills the command.
            let _held = held;
            ended
                .await
                .unwrap_or_else(|_| Err(VmError::Other("the runtime is ending".to_owned())))
        }
        .boxed();
        Execution {
            stdout,
            stderr,
            status,
        }
    }

    async fn watch(
        self,
        frames: Frames,
        sinks: output::Sinks,
        timeout: Option<Duration>,
        let_go: oneshot::Receiver<()>,
    ) -> Result<ExecStatus, VmError> {
        let mut pumping = std::pin::pin!(output::pump(frames, sinks));
        let mut let_go = let_go.fuse();
        let time_is_up = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let mut timed_out = false;
        let pumped = tokio::select! {
            biased;
            pumped = &mut pumping => Some(pumped),
            _ = &mut let_go => None,
            () = time_is_up => {
                timed_out = true;
                self.signal("TERM").await;
                tokio::select! {
                    biased;
                    pumped = &mut pumping => Some(pumped),
                    _ = &mut let_go => None,
                    () = tokio::time::sleep(GRACE) => None,
                }
            }
        };
        let pumped = match pumped {
            Some(pumped) => pumped,
            None => {
                self.make_end().await;
                tokio::time::timeout(DEATH, pumping)
                    .await
                    .unwrap_or_else(|_| Err(Error::RequestTimeoutError))
            }
        };
        if let Err(error) = pumped {
            tracing::debug!(machine = self.machine, %error, "a command's output broke off");
        }
        let code = match self.code().await {
            // The first process went with the command.
            Err(VmError::Gone(_)) if self.has_memory_limit && self.was_starved().await => {
                return Ok(ExecStatus::OutOfMemory);
            }
            code => code?,
        };
        if timed_out {
            return Ok(ExecStatus::TimedOut);
        }
        if code != 0 && self.has_memory_limit && self.was_starved().await {
            return Ok(ExecStatus::OutOfMemory);
        }
        Ok(ExecStatus::Exited(i32::try_from(code).unwrap_or(i32::MAX)))
    }

    /// Sends all of the command a signal, from inside the container.
    async fn signal(&self, signal: &str) {
        let argv = match &self.kind {
            Kind::Handed(_) => command::kill(None, signal, false),
            Kind::First => command::kill(Some(&self.mark), signal, false),
            Kind::Exec(_) => command::kill(Some(&self.mark), signal, self.server.is_empty()),
        };
        // The one that the first process runs has no name of its own: it must not be another
        // by the time that the signal is sent.
        let is_awaited = matches!(self.kind, Kind::Handed(_));
        let sent = tokio::time::timeout(DEATH, self.run_beside(argv, is_awaited)).await;
        let sent = sent.unwrap_or(Err(Error::RequestTimeoutError));
        if let Err(error) = sent {
            tracing::debug!(machine = self.machine, %error, "cannot send {signal}");
            self.server.close();
        }
    }

    async fn run_beside(&self, argv: Vec<String>, is_awaited: bool) -> Result<(), Error> {
        let config = ExecConfig {
            cmd: Some(argv),
            attach_stdout: Some(is_awaited),
            // The command's own user might not be the one to kill what it started.
            user: Some("0".to_owned()),
            working_dir: Some("/".to_owned()),
            ..ExecConfig::default()
        };
        let docker = &self.core.daemon.docker;
        let made = docker.create_exec(self.container.name(), config).await?;
        let options = StartExecOptions {
            detach: !is_awaited,
            ..StartExecOptions::default()
        };
        let started = docker.start_exec(&made.id, Some(options)).await?;
        if let StartExecResults::Attached { mut output, .. } = started {
            while output.next().await.is_some() {}
        }
        Ok(())
    }

    async fn make_end(&self) {
        match self.kind {
            Kind::First => self.container.kill().await,
            Kind::Handed(_) | Kind::Exec(_) => self.signal("KILL").await,
        }
    }

    async fn code(&self) -> Result<i64, VmError> {
        match &self.kind {
            Kind::First => self.first_code().await,
            Kind::Handed(code) => match code.get() {
                Some(code) => Ok(*code),
                None => Err(VmError::Gone(self.machine.clone())),
            },
            Kind::Exec(id) => self.exec_code(id).await,
        }
    }

    async fn first_code(&self) -> Result<i64, VmError> {
        let options = WaitContainerOptionsBuilder::new()
            .condition("not-running")
            .build();
        let docker = &self.core.daemon.docker;
        let mut waiting = docker.wait_container(self.container.name(), Some(options));
        match waiting.next().await {
            Some(Ok(ended)) => Ok(ended.status_code),
            Some(Err(Error::DockerContainerWaitError { code, error })) if error.is_empty() => {
                Ok(code)
            }
            Some(Err(error)) => Err(self.lost(error)),
            None => Err(VmError::Gone(self.machine.clone())),
        }
    }

    /// The output may end a little before the command does, or long before, if it closes it.
    async fn exec_code(&self, id: &str) -> Result<i64, VmError> {
        let mut pause = Duration::from_millis(1);
        loop {
            let found = self.core.daemon.docker.inspect_exec(id).await;
            let found = found.map_err(|error| self.lost(error))?;
            match found.exit_code {
                Some(code) if found.running != Some(true) => return Ok(code),
                _ => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    fn lost(&self, error: Error) -> VmError {
        if is_absent(&error) {
            return VmError::Gone(self.machine.clone());
        }
        self.core.daemon.failed("tell how a command ended")(error)
    }

    /// Whether the kernel has killed for want of memory in the container since the command
    /// began. The exit code alone does not tell: it may be that of a process that was told
    /// so by a killed child.
    async fn was_starved(&self) -> bool {
        let seconds = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
        };
        let options = EventsOptionsBuilder::new()
            .since(&seconds(self.since - SKEW))
            .until(&seconds(SystemTime::now()))
            .filters(&std::collections::HashMap::from([
                ("container", vec![self.container.name()]),
                ("event", vec!["oom"]),
            ]))
            .build();
        let mut events = std::pin::pin!(self.core.daemon.docker.events(Some(options)));
        let first = tokio::time::timeout(SKEW, events.next()).await;
        matches!(first, Ok(Some(Ok(_))))
    }
}

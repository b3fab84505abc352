//! This process's side of the spawner: starting it, and keeping its life tied to ours.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use super::link::Link;
use super::wire::{self, Boot, Flatten, FromSpawner, Setup, Stage, ToSpawner};
use crate::error::VmError;

/// A spawner that has said that it is ready.
#[derive(Debug)]
pub(super) struct Spawner {
    link: Link,
    pub(super) stage: Stage,
    ended: Arc<AtomicBool>,
}

impl Spawner {
    /// Starts a spawner and waits until it is ready.
    pub(super) async fn start(command: &[OsString], setup: Setup) -> Result<Self, VmError> {
        let (ours, theirs) = wire::pair().map_err(|error| cannot_start(command, &error))?;
        let ended = Arc::new(AtomicBool::new(false));
        keep(command.to_vec(), theirs, Arc::clone(&ended)).await?;
        let link = Link::new(ours).map_err(|error| cannot_start(command, &error))?;
        link.send(&ToSpawner::Setup(setup), &[])
            .await
            .map_err(|error| cannot_start(command, &error))?;
        match link
            .receive()
            .await
            .map_err(|error| cannot_start(command, &error))?
        {
            Some((FromSpawner::Ready(stage), _)) => Ok(Self { link, stage, ended }),
            Some((FromSpawner::Refused(failure), _)) => Err(failure.into()),
            None => Err(VmError::Other(format!(
                "the sandbox's spawner, `{}`, ended before it was ready",
                words(command)
            ))),
        }
    }

    /// Asks for a machine; what becomes of it is told on the machine's own socket.
    pub(super) async fn boot(&self, boot: Boot, machine: OwnedFd) -> Result<(), VmError> {
        self.send(&ToSpawner::Boot(boot), &machine).await
    }

    /// Asks for layers to be put together; what becomes of it is told on the socket.
    pub(super) async fn flatten(&self, asked: Flatten, socket: OwnedFd) -> Result<(), VmError> {
        self.send(&ToSpawner::Flatten(asked), &socket).await
    }

    async fn send(&self, message: &ToSpawner, socket: &OwnedFd) -> Result<(), VmError> {
        self.link
            .send(message, &[socket.as_fd()])
            .await
            .map_err(|error| VmError::Other(format!("the sandbox's spawner is gone: {error}")))
    }

    /// Tells whether it has ended, and with it all its machines.
    pub(super) fn is_gone(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// Starts the process on a thread of its own, which then waits for it: the kernel ties a
/// child's life to the thread that made it, and threads of a runtime come and go.
async fn keep(
    command: Vec<OsString>,
    socket: OwnedFd,
    ended: Arc<AtomicBool>,
) -> Result<(), VmError> {
    let (report, started) = oneshot::channel();
    let shown = command.clone();
    let spawned = std::thread::Builder::new()
        .name("hm-spawner".to_owned())
        .spawn(move || {
            let mut words = command.iter();
            let Some(program) = words.next() else {
                let _ = report.send(Err(std::io::Error::from(std::io::ErrorKind::InvalidInput)));
                return;
            };
            let child = Command::new(program)
                .args(words)
                .env_clear()
                .current_dir("/")
                .stdin(Stdio::from(socket))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            match child {
                Ok(mut child) => {
                    let _ = report.send(Ok(()));
                    let _ = child.wait();
                    ended.store(true, Ordering::Release);
                }
                Err(error) => {
                    let _ = report.send(Err(error));
                }
            }
        });
    spawned.map_err(|error| cannot_start(&shown, &error))?;
    match started.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(cannot_start(&shown, &error)),
        Err(_) => Err(VmError::Other(
            "the sandbox's spawner could not be started".to_owned(),
        )),
    }
}

fn cannot_start(command: &[OsString], error: &std::io::Error) -> VmError {
    VmError::Other(format!(
        "cannot start the sandbox's spawner, `{}`: {error}",
        words(command)
    ))
}

fn words(command: &[OsString]) -> String {
    command
        .iter()
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

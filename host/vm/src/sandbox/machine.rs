//! A machine, from this process's side.

use std::collections::HashMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::Interest;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::caches;
use super::cgroup::Cgroup;
use super::disk;
use super::environment::Environment;
use super::execution;
use super::failure::Failure;
use super::layer::{Layer, SandboxSnapshot};
use super::link::Link;
use super::undertaker::{Doomed, Undertaker};
use super::wire::{End, FromMachine, ToMachine};
use crate::backend::{ExecSpec, Execution, Machine, Snapshot};
use crate::error::VmError;
use crate::image::Image;
use crate::state::io_error;

/// What a machine's processes need to be found and ended; whatever drops it ends them.
#[derive(Debug)]
pub(super) struct Remains {
    pub(super) process: Option<OwnedFd>,
    pub(super) socket: Option<OwnedFd>,
    pub(super) folder: PathBuf,
    pub(super) undertaker: Undertaker,
}

impl Drop for Remains {
    fn drop(&mut self) {
        self.undertaker.take(Doomed::Machine {
            process: self.process.take(),
            socket: self.socket.take(),
            folder: std::mem::take(&mut self.folder),
        });
    }
}

/// Commands that have been asked for, by number.
#[derive(Debug, Default)]
struct Waiting {
    started: Option<oneshot::Sender<Result<(), Failure>>>,
    ended: Option<oneshot::Sender<End>>,
}

/// The connection to a machine's first process. Outlives the machine's handle where a
/// command's does.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) machine: String,
    pub(super) link: Link,
    next: AtomicU64,
    /// None after the machine's end.
    waiting: Mutex<Option<HashMap<u64, Waiting>>>,
    pub(super) cgroup: Cgroup,
    /// Why it was killed, if it was.
    pub(super) over: disk::Verdict,
    /// Of its files.
    pub(super) folder: PathBuf,
}

/// What is awaited of one command.
pub(super) struct Expected {
    pub(super) job: u64,
    pub(super) started: oneshot::Receiver<Result<(), Failure>>,
    pub(super) ended: oneshot::Receiver<End>,
}

impl Conversation {
    pub(super) fn start(machine: String, link: Link, cgroup: Cgroup, folder: PathBuf) -> Arc<Self> {
        let conversation = Arc::new(Self {
            machine,
            link,
            next: AtomicU64::new(1),
            waiting: Mutex::new(Some(HashMap::new())),
            cgroup,
            over: disk::Verdict::new(),
            folder,
        });
        tokio::spawn(listen(Arc::clone(&conversation)));
        conversation
    }

    /// Makes room for the answers to a command.
    pub(super) fn expect(&self) -> Result<Expected, VmError> {
        let job = self.next.fetch_add(1, Ordering::Relaxed);
        let (start, started) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let waiting = Waiting {
            started: Some(start),
            ended: Some(end),
        };
        match self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            Some(table) => table.insert(job, waiting),
            None => return Err(self.gone()),
        };
        Ok(Expected {
            job,
            started,
            ended,
        })
    }

    pub(super) fn gone(&self) -> VmError {
        VmError::Gone(self.machine.clone())
    }

    /// Asks for the end of a command, later where there is no room for the message now.
    pub(super) fn kill(self: &Arc<Self>, job: u64) {
        let sent = self.link.try_send(&ToMachine::Kill(job));
        if sent.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let conversation = Arc::clone(self);
            runtime.spawn(async move {
                // Fails only if the machine is gone, and the command with it.
                let _ = conversation.link.send(&ToMachine::Kill(job), &[]).await;
            });
        }
    }

    fn answer(&self, message: FromMachine) {
        let mut guard = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(table) = guard.as_mut() else {
            return;
        };
        match message {
            FromMachine::Started(job) => {
                if let Some(started) = table
                    .get_mut(&job)
                    .and_then(|waiting| waiting.started.take())
                {
                    let _ = started.send(Ok(()));
                }
            }
            FromMachine::NotStarted(job, failure) => {
                if let Some(started) = table.remove(&job).and_then(|waiting| waiting.started) {
                    let _ = started.send(Err(failure));
                }
            }
            FromMachine::Ended(job, end) => {
                if let Some(ended) = table.remove(&job).and_then(|waiting| waiting.ended) {
                    let _ = ended.send(end);
                }
            }
            FromMachine::Spawned | FromMachine::Ready | FromMachine::Failed(_) => {}
        }
    }
}

/// Hands a machine's answers on until it ends; whoever still waits then learns of it by
/// the closed channel.
async fn listen(conversation: Arc<Conversation>) {
    while let Ok(Some((message, _))) = conversation.link.receive().await {
        conversation.answer(message);
    }
    conversation
        .waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
}

/// A machine of this engine.
#[derive(Debug)]
pub(super) struct SandboxMachine {
    pub(super) conversation: Arc<Conversation>,
    pub(super) remains: Remains,
    /// Where its instance's layers lie.
    pub(super) live: Arc<Path>,
    /// Lent folders that it writes to.
    pub(super) caches: Arc<[PathBuf]>,
    /// Of the base, topmost first: they must last as long as they are mounted.
    pub(super) layers: Vec<Arc<Layer>>,
    /// What lies below them; none is the host's file system.
    pub(super) image: Option<Arc<Image>>,
    pub(super) environment: Arc<Environment>,
}

impl SandboxMachine {
    /// Ends all processes and waits until they, and with them the mounts, are gone.
    async fn end(&mut self) -> Result<(), VmError> {
        let Some(process) = self.remains.process.as_ref() else {
            return Err(self.conversation.gone());
        };
        let process = process
            .try_clone()
            .and_then(|process| super::link::watch(process, Interest::READABLE))
            .map_err(io_error(
                "cannot watch the processes of",
                &self.remains.folder,
            ))?;
        let _ = pidfd_send_signal(process.get_ref(), Signal::KILL);
        let ended = process.readable().await;
        ended.map(drop).map_err(io_error(
            "cannot watch the processes of",
            &self.remains.folder,
        ))
    }
}

#[async_trait]
impl Machine for SandboxMachine {
    fn id(&self) -> &str {
        &self.conversation.machine
    }

    async fn exec(&self, spec: ExecSpec) -> Result<Execution, VmError> {
        execution::start(&self.conversation, &self.environment, spec).await
    }

    async fn snapshot(mut self: Box<Self>) -> Result<Arc<dyn Snapshot>, VmError> {
        self.end().await?;
        let id = Uuid::new_v4().simple().to_string();
        let upper = self.remains.folder.join("upper");
        let folder = self.live.join(&id);
        caches::fold(&self.remains.folder, &self.caches)
            .map_err(io_error("cannot freeze", &upper))?;
        fs::rename(&upper, &folder).map_err(io_error("cannot freeze", &upper))?;
        let layer = Layer::live(id, folder, self.remains.undertaker.clone());
        let mut layers = vec![Arc::new(layer)];
        layers.append(&mut self.layers);
        Ok(Arc::new(SandboxSnapshot {
            id: Uuid::new_v4().simple().to_string(),
            layers,
            image: self.image.take(),
        }))
    }

    async fn destroy(mut self: Box<Self>) {
        // What cannot be watched here is waited for by the undertaker.
        let _ = self.end().await;
    }
}

//! The thread that waits for what was dropped to be gone, and deletes its files.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::Shutdown;
use rustix::process::{Signal, pidfd_send_signal};
use tokio::sync::watch;

use super::cgroup;
use crate::state::Instance;

/// What is on its way out.
pub(super) enum Doomed {
    /// A machine: its first process, if that is known, its socket and its folder.
    Machine {
        process: Option<OwnedFd>,
        socket: Option<OwnedFd>,
        folder: PathBuf,
    },
    /// A layer that nothing is made of any more.
    Layer(PathBuf),
    /// Whatever is in the trash already.
    Trash,
}

/// A handle on the thread; it ends after the last one, and all that was asked of it.
#[derive(Debug, Clone)]
pub(super) struct Undertaker {
    doomed: Sender<Doomed>,
    pending: Arc<watch::Sender<usize>>,
}

impl std::fmt::Debug for Doomed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Doomed")
    }
}

impl Undertaker {
    /// Starts the thread.
    pub(super) fn start(instance: Instance) -> std::io::Result<Self> {
        let (doomed, orders) = channel();
        let pending = Arc::new(watch::Sender::new(0));
        let counter = Arc::clone(&pending);
        std::thread::Builder::new()
            .name("hm-undertaker".to_owned())
            .spawn(move || work(&instance, &orders, &counter))?;
        Ok(Self { doomed, pending })
    }

    /// Hands something over. Never blocks.
    pub(super) fn take(&self, doomed: Doomed) {
        if let Doomed::Machine {
            process: Some(process),
            ..
        } = &doomed
        {
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
        self.pending.send_modify(|pending| *pending += 1);
        if self.doomed.send(doomed).is_err() {
            self.pending.send_modify(|pending| *pending -= 1);
        }
    }

    /// Waits until the thread has ended: after the last handle has gone, this one too.
    pub(super) fn end(&self) -> impl Future<Output = ()> + use<> {
        let mut pending = self.pending.subscribe();
        async move { while pending.changed().await.is_ok() {} }
    }

    /// Waits until all that was handed over is gone.
    pub(super) async fn settle(&self) {
        let _ = self
            .pending
            .subscribe()
            .wait_for(|pending| *pending == 0)
            .await;
    }
}

fn work(instance: &Instance, orders: &Receiver<Doomed>, pending: &watch::Sender<usize>) {
    // Deleting must not get in the way of what runs; it is this thread's alone.
    let _ = rustix::process::nice(10);
    while let Ok(first) = orders.recv() {
        let mut batch = vec![first];
        batch.extend(orders.try_iter().take(255));
        let count = batch.len();
        for doomed in batch {
            bury(instance, doomed);
        }
        instance.state.empty_trash();
        pending.send_modify(|pending| *pending -= count);
    }
    let _ = instance.state.discard(&instance.layers);
    instance.state.empty_trash();
}

fn bury(instance: &Instance, doomed: Doomed) {
    let folder = match doomed {
        Doomed::Machine {
            process,
            socket,
            folder,
        } => {
            match (process, socket) {
                (Some(process), _) => wait_for_end(&process, PollFlags::IN),
                (None, Some(socket)) => {
                    // Its first process ends with the socket; so does the other end.
                    let _ = rustix::net::shutdown(&socket, Shutdown::Write);
                    wait_for_end(&socket, PollFlags::empty());
                }
                (None, None) => {}
            }
            if let Some(name) = folder.file_name() {
                cgroup::remove(&name.to_string_lossy());
            }
            folder
        }
        Doomed::Layer(folder) => folder,
        Doomed::Trash => return,
    };
    if let Err(error) = instance.state.discard(&folder) {
        tracing::debug!(folder = %folder.display(), %error, "cannot discard");
    }
}

/// Waits for one of these, or a hang-up.
fn wait_for_end(descriptor: &OwnedFd, flags: PollFlags) {
    loop {
        match poll(&mut [PollFd::new(descriptor, flags)], None) {
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}

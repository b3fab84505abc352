//! This process's end of a machine's or the spawner's socket, without blocking a runtime.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::wire;

/// A connected socket.
#[derive(Debug)]
pub(super) struct Link(AsyncFd<OwnedFd>);

impl Link {
    /// Takes a socket over. Needs a tokio runtime.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        // Not for writing: each message that the other side takes would wake a thread.
        Ok(Self(watch(socket, Interest::READABLE)?))
    }

    /// Sends a message, waiting for room.
    pub(super) async fn send<T: Serialize>(
        &self,
        message: &T,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        match wire::send(self.0.get_ref(), message, fds) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return sent,
        }
        let socket = self.0.get_ref().try_clone()?;
        watch(socket, Interest::WRITABLE)?
            .async_io(Interest::WRITABLE, |socket| {
                wire::send(socket, message, fds)
            })
            .await
    }

    /// Sends a message if there is room.
    pub(super) fn try_send<T: Serialize>(&self, message: &T) -> io::Result<()> {
        wire::send(self.0.get_ref(), message, &[])
    }

    /// Receives a message; none at the end.
    pub(super) async fn receive<T: DeserializeOwned>(
        &self,
    ) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        self.0
            .async_io(Interest::READABLE, |socket| wire::receive(socket))
            .await
    }
}

/// Registers a descriptor with the runtime.
pub(super) fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` keeps its one descriptor open until it is dropped, and nothing
    // that is given out lets it be replaced.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, interest) }?)
}

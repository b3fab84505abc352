//! A build that runs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use hm_plugin_protocol::{BuildEvent, BuildOutcome};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::{BackendError, Result};

/// Why the host wants a build to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// A person or a signal.
    Interrupted,
    /// The build's budget is used up.
    TimedOut,
}

/// What the host wants of a build at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Go on.
    Run,
    /// Stop in order, within the grace period.
    Cancel(CancelReason),
    /// Be gone now.
    Kill(CancelReason),
}

/// A build that was started: split it into its events and its control.
pub struct BackendHandle {
    events: EventStream,
    control: Control,
}

impl BackendHandle {
    pub(crate) fn new(
        events: mpsc::Receiver<BuildEvent>,
        wish: Arc<watch::Sender<Wish>>,
        task: JoinHandle<Result<BuildOutcome>>,
    ) -> Self {
        let guard = KillOnDrop { wish: wish.clone() };
        Self {
            events: EventStream { events },
            control: Control {
                wish,
                task,
                _guard: guard,
            },
        }
    }

    /// Splits the handle. Dropping the [`Control`] ends the build; dropping the
    /// [`EventStream`] lets it run on unseen.
    pub fn into_parts(self) -> (EventStream, Control) {
        (self.events, self.control)
    }
}

/// Everything that happens, in order, ended by [`BuildEvent::BuildEnd`].
///
/// Bounded: who does not read holds the build back, and nothing is dropped.
pub struct EventStream {
    events: mpsc::Receiver<BuildEvent>,
}

impl EventStream {
    /// Returns the next event, or none after the last one. Safe to drop.
    pub async fn next(&mut self) -> Option<BuildEvent> {
        self.events.recv().await
    }

    /// Returns the next event if one is there already.
    pub fn try_next(&mut self) -> Option<BuildEvent> {
        self.events.try_recv().ok()
    }
}

impl Stream for EventStream {
    type Item = BuildEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BuildEvent>> {
        self.events.poll_recv(cx)
    }
}

/// Ends a build and waits for it.
pub struct Control {
    wish: Arc<watch::Sender<Wish>>,
    task: JoinHandle<Result<BuildOutcome>>,
    _guard: KillOnDrop,
}

/// Cancels from anywhere, a signal handler's task for one.
#[derive(Clone)]
pub struct Canceller {
    wish: Arc<watch::Sender<Wish>>,
}

impl Canceller {
    /// See [`Control::cancel`].
    pub fn cancel(&self) {
        raise(&self.wish, Wish::Cancel(CancelReason::Interrupted));
    }

    /// See [`Control::kill`].
    pub fn kill(&self) {
        raise(&self.wish, Wish::Kill(CancelReason::Interrupted));
    }
}

impl Control {
    /// Asks the backend to stop. After a grace period of 10 s it is gone in any case.
    /// Idempotent.
    pub fn cancel(&self) {
        raise(&self.wish, Wish::Cancel(CancelReason::Interrupted));
    }

    /// Ends the build now, wherever the backend stands. Steps are closed and machines
    /// destroyed all the same.
    pub fn kill(&self) {
        raise(&self.wish, Wish::Kill(CancelReason::Interrupted));
    }

    /// Returns a handle that can cancel while [`wait`](Control::wait) is pending.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            wish: self.wish.clone(),
        }
    }

    /// Waits until the build has ended and nothing of it is left. The events must be read
    /// meanwhile, or dropped.
    ///
    /// # Errors
    /// The backend ended with an error instead of a verdict, or broke.
    pub async fn wait(self) -> Result<BuildOutcome> {
        let Self {
            wish: _wish,
            task,
            _guard,
        } = self;
        task.await.unwrap_or_else(|error| {
            Err(BackendError::Other(format!(
                "the session of the build ended by itself: {error}"
            )))
        })
    }
}

/// Moves the wish forward only: a killed build is never merely cancelled.
pub(crate) fn raise(wish: &watch::Sender<Wish>, to: Wish) {
    wish.send_if_modified(|now| {
        let forward = matches!(
            (*now, to),
            (Wish::Run, Wish::Cancel(_) | Wish::Kill(_)) | (Wish::Cancel(_), Wish::Kill(_))
        );
        if forward {
            // The first reason stays: it is what the outcome will say.
            *now = match (*now, to) {
                (Wish::Cancel(reason), Wish::Kill(_)) => Wish::Kill(reason),
                (_, to) => to,
            };
        }
        forward
    });
}

struct KillOnDrop {
    wish: Arc<watch::Sender<Wish>>,
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        raise(&self.wish, Wish::Kill(CancelReason::Interrupted));
    }
}

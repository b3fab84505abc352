//! Whether a quiet guest has a reason to be quiet: a call, a command, a body whose end it waits
//! for. Sleep is none: whoever sleeps again and again does nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Session;

/// What the guest of one build waits for.
pub(super) struct Activity {
    /// Calls to the host, commands and bodies whose bytes the guest reads or writes, and its own
    /// events while their reader is slow.
    busy: AtomicUsize,
    /// When one of all these last began or ended, or an event came.
    moved: Mutex<Instant>,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            busy: AtomicUsize::new(0),
            moved: Mutex::new(Instant::now()),
        }
    }

    pub(super) fn moves(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns for how long nothing has moved; none while something is under way.
    pub(super) fn silence(&self) -> Option<Duration> {
        let moved = *self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        (self.busy.load(Ordering::Relaxed) == 0).then(|| moved.elapsed())
    }
}

/// Something that will wake the guest by itself, as long as this lives.
pub(crate) struct Awaited(Arc<Session>);

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.activity.moves();
        self.0.activity.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Session {
    /// Notes that the guest waits for something that the host does or passes on.
    pub(crate) fn awaits(self: &Arc<Self>) -> Awaited {
        self.activity.busy.fetch_add(1, Ordering::Relaxed);
        self.activity.moves();
        Awaited(self.clone())
    }
}

//! Whether a quiet guest has a reason to be quiet: a call, a command, a body, a sleep that will
//! wake it. One that has none will be quiet for ever, and nobody should have to wait for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Session;

/// What may still wake the guest of one build.
pub(super) struct Activity {
    /// Calls to the host, commands and bodies whose bytes the guest reads or writes, and its own
    /// events while their reader is slow.
    busy: AtomicUsize,
    /// Waits for the clock.
    naps: AtomicUsize,
    /// When something of what is not sleep last began or ended, or an event came.
    moved: Mutex<Instant>,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            busy: AtomicUsize::new(0),
            naps: AtomicUsize::new(0),
            moved: Mutex::new(Instant::now()),
        }
    }

    fn changes(&self, kind: Kind, by: impl FnOnce(&AtomicUsize) -> usize) {
        match kind {
            Kind::Busy => {
                self.moves();
                by(&self.busy);
            }
            // Whoever sleeps again and again is not busy.
            Kind::Nap => {
                by(&self.naps);
            }
        }
    }

    pub(super) fn moves(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns for how long nothing has moved, and nothing is under way that could; none while
    /// something is. A sleep counts as such only `with_naps`.
    pub(super) fn silence(&self, with_naps: bool) -> Option<Duration> {
        let is_under_way = self.busy.load(Ordering::Relaxed) > 0
            || (with_naps && self.naps.load(Ordering::Relaxed) > 0);
        let moved = *self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        (!is_under_way).then(|| moved.elapsed())
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Busy,
    Nap,
}

/// Something that will wake the guest by itself, as long as this lives.
pub(crate) struct Awaited {
    session: Arc<Session>,
    kind: Kind,
}

impl Awaited {
    fn new(session: &Arc<Session>, kind: Kind) -> Self {
        session
            .activity
            .changes(kind, |count| count.fetch_add(1, Ordering::Relaxed));
        Self {
            session: session.clone(),
            kind,
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let activity = &self.session.activity;
        activity.changes(self.kind, |count| count.fetch_sub(1, Ordering::Relaxed));
    }
}

impl Session {
    /// Notes that the guest waits for something that the host does or passes on.
    pub(crate) fn awaits(self: &Arc<Self>) -> Awaited {
        Awaited::new(self, Kind::Busy)
    }

    /// Notes that the guest waits for the clock.
    pub(crate) fn naps(self: &Arc<Self>) -> Awaited {
        Awaited::new(self, Kind::Nap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_when_nothing_could_come() {
        let activity = Activity::new();
        assert!(activity.silence(true).is_some());
        activity.naps.fetch_add(1, Ordering::Relaxed);
        assert!(activity.silence(true).is_none());
        assert!(activity.silence(false).is_some());
        activity.busy.fetch_add(1, Ordering::Relaxed);
        assert!(activity.silence(false).is_none());
    }
}

//! What a backend logs: so much, and then it is counted instead of shown.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::bucket::Bucket;
use crate::component::Limits;

/// A line counts this many bytes at least, so that empty ones are not free.
const LINE_MIN: u64 = 64;

/// Decides which lines are shown.
pub(super) struct Diagnostics {
    state: Mutex<State>,
}

struct State {
    bucket: Bucket,
    bytes: u64,
    bytes_max: u64,
    dropped: u64,
    /// The last error that the guest logged: a panic's message, as a rule.
    last_words: Option<String>,
}

impl Diagnostics {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            state: Mutex::new(State {
                bucket: Bucket::new(limits.diagnostics_rate, limits.diagnostics_burst),
                bytes: 0,
                bytes_max: limits.diagnostics_bytes,
                dropped: 0,
                last_words: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a line. If it may be shown, returns how many were dropped before it.
    pub(super) fn admit(&self, bytes: usize) -> Option<u64> {
        let mut state = self.state();
        let counted = state.bytes.saturating_add((bytes as u64).max(LINE_MIN));
        if counted > state.bytes_max || !state.bucket.try_take(Instant::now()) {
            state.dropped += 1;
            return None;
        }
        state.bytes = counted;
        Some(std::mem::take(&mut state.dropped))
    }

    /// Returns how many lines were dropped since the last that was shown.
    pub(super) fn dropped(&self) -> u64 {
        std::mem::take(&mut self.state().dropped)
    }

    /// Remembers an error that the guest logged, to be shown beside a bare trap.
    pub(super) fn note_last_words(&self, line: String) {
        self.state().last_words = Some(line);
    }

    pub(super) fn last_words(&self) -> Option<String> {
        self.state().last_words.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted() {
        let limits = Limits {
            diagnostics_burst: 2,
            diagnostics_rate: 1,
            diagnostics_bytes: 1_000,
            ..Limits::default()
        };
        let log = Diagnostics::new(&limits);
        assert_eq!(log.admit(5), Some(0));
        assert_eq!(log.admit(900), Some(0));
        assert_eq!(log.admit(5), None);
        assert_eq!(log.admit(5), None);
        assert_eq!((log.dropped(), log.dropped()), (2, 0));
    }
}

//! When a request is sent again, and how long to wait before.

use std::time::Duration;

use crate::clock::Backoff;

/// How often a request is tried, and how long the pauses are.
///
/// Tried again is what may go better next time: no connection, no answer in time, and the
/// statuses 408, 429, 500, 502, 503 and 504. A request that may have been carried out is
/// tried again only if it [repeats safely](super::Request::idempotent). The pause doubles
/// from the first to the longest, with jitter; a `Retry-After` in seconds is waited out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    pub(crate) tries: u32,
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Retry {
    /// Never again.
    pub const fn never() -> Self {
        Self::times(1)
    }

    /// That many tries in all, at least one.
    pub const fn times(tries: u32) -> Self {
        Self {
            tries: if tries == 0 { 1 } else { tries },
            first: Duration::from_millis(200),
            longest: Duration::from_secs(10),
        }
    }

    /// With these pauses.
    #[must_use]
    pub const fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.first = first;
        self.longest = longest;
        self
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.first, self.longest)
    }
}

impl Default for Retry {
    /// Five tries, with pauses from 0.2 to 10 seconds.
    fn default() -> Self {
        Self::times(5)
    }
}

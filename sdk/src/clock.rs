//! Time, which `std` does not have on this target: `std::time::Instant` panics here.

use std::time::Duration;

use wasip3::clocks::monotonic_clock;

/// A point in time of the host's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// Returns the present.
    pub fn now() -> Self {
        Self(monotonic_clock::now())
    }

    /// Returns the time that has gone by since this point.
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(monotonic_clock::now().saturating_sub(self.0))
    }
}

/// Waits. A duration too long for the clock (584 years) waits that long.
pub async fn sleep(duration: Duration) {
    monotonic_clock::wait_for(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)).await;
}

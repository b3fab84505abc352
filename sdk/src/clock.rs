//! Time, which `std` does not have on this target: `std::time::Instant` panics here.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};

use crate::platform;

/// A point in time of the host's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// Returns the present.
    pub fn now() -> Self {
        Self(platform::now())
    }

    /// Returns the time that has gone by since this point.
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(platform::now().saturating_sub(self.0))
    }
}

/// Waits. A duration too long for the clock (584 years) waits that long.
pub async fn sleep(duration: Duration) {
    platform::wait_for(nanoseconds(duration)).await;
}

/// Waits for `work`, but no longer than `limit`; then it is dropped.
///
/// ```no_run
/// # async fn answer() -> u32 { 42 }
/// # async fn f() -> Result<(), hm_backend_sdk::clock::Elapsed> {
/// use std::time::Duration;
/// let answer = hm_backend_sdk::clock::timeout(Duration::from_secs(5), answer()).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The limit came first.
pub async fn timeout<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    match select(pin!(work), pin!(sleep(limit))).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(((), _)) => Err(Elapsed(limit)),
    }
}

/// A [`timeout`] has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed(Duration);

impl Elapsed {
    /// Returns the limit that has passed.
    pub fn limit(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not done within {:?}", self.0)
    }
}

impl std::error::Error for Elapsed {}

/// Pauses between tries: each twice as long as the one before, up to a longest, and each
/// drawn from its upper half, so that many clients do not come back at the same moment.
///
/// ```no_run
/// # async fn is_done() -> bool { true }
/// # async fn f() {
/// use hm_backend_sdk::clock::Backoff;
/// use std::time::Duration;
///
/// let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// while !is_done().await {
///     backoff.pause().await;
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    /// State of the generator; 0 until it is first used.
    seed: u64,
}

impl Backoff {
    /// Begins with `first` and goes up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
            seed: 0,
        }
    }

    /// Returns the next pause.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.next.min(self.longest);
        self.next = pause.saturating_mul(2).min(self.longest);
        let half = pause / 2;
        half + half.mul_f64(self.fraction())
    }

    /// Waits for the next pause.
    pub async fn pause(&mut self) {
        sleep(self.next_pause()).await;
    }

    /// Begins anew: something went well.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// Returns a number from 0 to 1. There is no source of randomness here; the moment of
    /// the first failure, in nanoseconds, tells clients apart well enough.
    fn fraction(&mut self) -> f64 {
        if self.seed == 0 {
            self.seed = platform::now() | 1;
        }
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.seed;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

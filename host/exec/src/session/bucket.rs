//! A token bucket: so many at once, so many a second after that.

use std::time::{Duration, Instant};

/// Counts what is taken against a rate.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Below zero: a debt, which time pays.
    tokens: f64,
    burst: f64,
    rate: f64,
    at: Instant,
}

impl Bucket {
    /// Makes a full bucket of `burst`, filled by `rate` a second.
    pub(super) fn new(rate: u64, burst: u64) -> Self {
        Self {
            tokens: burst as f64,
            burst: burst as f64,
            // None at all would be a wait without an end.
            rate: rate.max(1) as f64,
            at: Instant::now(),
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.burst);
        self.at = now;
    }

    /// Takes one, if there is one.
    pub(super) fn try_take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        }
        has
    }

    /// Takes what was used already; returns how long the next has to wait.
    pub(super) fn owe(&mut self, count: u64, now: Instant) -> Option<Duration> {
        self.fill(now);
        self.tokens -= count as f64;
        (self.tokens < 0.0).then(|| Duration::from_secs_f64(-self.tokens / self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_the_rest_comes_at_the_rate() {
        let mut bucket = Bucket::new(100, 10);
        let start = bucket.at;
        assert_eq!((0..20).filter(|_| bucket.try_take(start)).count(), 10);
        let later = start + Duration::from_millis(50);
        assert_eq!((0..20).filter(|_| bucket.try_take(later)).count(), 5);
        assert_eq!(bucket.owe(1, later), Some(Duration::from_millis(10)));
        let much_later = later + Duration::from_secs(60);
        assert_eq!(bucket.owe(10, much_later), None);
    }
}

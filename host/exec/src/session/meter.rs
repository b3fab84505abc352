//! The processor time that a guest takes: its own code's, and the host's while it serves it.
//!
//! Counting interruptions would charge a whole tick to a guest that woke for a moment, and
//! nothing to one that has the host work for it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Processor time of one build's guest.
pub(super) struct Meter {
    /// Nanoseconds of all polls that have ended.
    used: AtomicU64,
    /// The thread's own time when the poll began that runs now.
    begun: AtomicU64,
}

impl Meter {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            begun: AtomicU64::new(0),
        })
    }

    /// Returns what was used, in the midst of a poll and on its thread.
    pub(super) fn so_far(&self) -> Duration {
        let running = of_thread().saturating_sub(self.begun.load(Ordering::Relaxed));
        Duration::from_nanos(self.used.load(Ordering::Relaxed) + running)
    }

    fn begin(&self) {
        self.begun.store(of_thread(), Ordering::Relaxed);
    }

    fn end(&self) {
        let running = of_thread().saturating_sub(self.begun.load(Ordering::Relaxed));
        self.used.fetch_add(running, Ordering::Relaxed);
    }
}

/// Work whose every poll is measured.
pub(super) struct Measured<F> {
    work: Pin<Box<F>>,
    meter: Arc<Meter>,
}

impl<F: Future> Measured<F> {
    pub(super) fn new(work: F, meter: Arc<Meter>) -> Self {
        Self {
            work: Box::pin(work),
            meter,
        }
    }
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.meter.begin();
        let polled = self.work.as_mut().poll(cx);
        self.meter.end();
        polled
    }
}

/// Returns the processor time of this thread, in nanoseconds.
fn of_thread() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, rest) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    seconds * 1_000_000_000 + rest
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn waiting_costs_nothing_and_working_does() {
        let meter = Meter::new();
        let naps = async {
            for _ in 0..50 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let begun = Instant::now();
        Measured::new(naps, meter.clone()).await;
        let napped = meter.used.load(Ordering::Relaxed);
        assert!(u128::from(napped) < begun.elapsed().as_nanos() / 2);
        let work = async {
            let begun = of_thread();
            while of_thread() - begun < 30_000_000 {
                std::hint::spin_loop();
            }
            assert!(meter.so_far() >= Duration::from_millis(30));
        };
        Measured::new(work, meter.clone()).await;
        assert!(meter.used.load(Ordering::Relaxed) >= napped + 30_000_000);
    }
}

//! A link that all log streams share: no more than so many bytes pass in a second.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use tokio::time::{Instant, sleep_until};

/// Bytes that pass at once.
const PIECE: usize = 64 << 10;

/// What a link that was idle may make up for: timers wake up a millisecond late.
const SLACK: Duration = Duration::from_millis(5);

/// What log streams go through.
pub(crate) struct Link {
    bytes_per_second: NonZeroU64,
    /// When all that was put on it will have passed.
    free: Mutex<Instant>,
}

impl Link {
    pub(crate) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self {
            bytes_per_second,
            free: Mutex::new(Instant::now()),
        }
    }

    /// Cuts bytes up and lets each part by in its time.
    pub(crate) fn carry(self: Arc<Self>, bytes: Bytes) -> impl Stream<Item = Bytes> {
        let parts = bytes.len().div_ceil(PIECE);
        stream::iter(0..parts).then(move |part| {
            let part = bytes.slice(part * PIECE..bytes.len().min((part + 1) * PIECE));
            let link = self.clone();
            async move {
                sleep_until(link.put(part.len())).await;
                part
            }
        })
    }

    fn put(&self, bytes: usize) -> Instant {
        let takes = bytes as f64 / self.bytes_per_second.get() as f64;
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = Instant::now().checked_sub(SLACK).unwrap_or(*free);
        *free = (*free).max(earliest) + Duration::from_secs_f64(takes);
        *free
    }
}

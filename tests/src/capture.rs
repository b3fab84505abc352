//! Output of a child, read by a thread of its own as it comes.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What was read so far. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Capture {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    read: Mutex<Text>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    is_closed: bool,
}

impl Capture {
    /// Starts to read `source` to its end.
    pub(crate) fn of(mut source: impl Read + Send + 'static) -> Self {
        let capture = Self::default();
        let writer = capture.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                // A terminal whose other end has gone is an error and not an end.
                let length = source.read(&mut buffer).unwrap_or(0);
                let mut text = writer.lock();
                text.bytes.extend_from_slice(&buffer[..length]);
                text.is_closed = length == 0;
                writer.inner.more.notify_all();
                if length == 0 {
                    return;
                }
            }
        });
        capture
    }

    /// Returns what was read so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    /// Returns what was read from a place on.
    pub(crate) fn bytes_from(&self, start: usize) -> Vec<u8> {
        self.lock().bytes[start..].to_vec()
    }

    /// Waits until what was read so far is as wanted; false if that never came to be.
    pub(crate) fn wait_until(
        &self,
        deadline: Instant,
        mut wanted: impl FnMut(&[u8]) -> bool,
    ) -> bool {
        let mut text = self.lock();
        loop {
            if wanted(&text.bytes) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if text.is_closed || left.is_zero() {
                return false;
            }
            text = self
                .inner
                .more
                .wait_timeout(text, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for the end; false if it did not come.
    pub(crate) fn wait_closed(&self, deadline: Instant) -> bool {
        self.wait_until(deadline, |_| false);
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, Text> {
        self.inner
            .read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

//! What a job printed, in chunks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

/// Stored output of a job; clones are handles on the same.
#[derive(Clone)]
pub(crate) struct Log(Arc<Shared>);

struct Shared {
    chunks: Mutex<Vec<Chunk>>,
    /// How many there are, for those who wait for more.
    stored: watch::Sender<usize>,
}

/// One chunk, usually a line. Kept raw: what is no UTF-8 breaks only who reads it.
#[derive(Clone)]
pub(crate) struct Chunk {
    /// Counted from 1.
    pub(crate) seq: u64,
    /// 0 standard output, 1 standard error, 2 about the log itself.
    pub(crate) kind: u8,
    pub(crate) content: Bytes,
    /// Unix nanoseconds.
    pub(crate) at: i64,
}

impl Default for Log {
    fn default() -> Self {
        Self(Arc::new(Shared {
            chunks: Mutex::default(),
            stored: watch::Sender::new(0),
        }))
    }
}

impl Log {
    fn chunks(&self) -> MutexGuard<'_, Vec<Chunk>> {
        self.0.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, kind: u8, content: Bytes, at: i64) {
        let mut chunks = self.chunks();
        let seq = chunks.len() as u64 + 1;
        chunks.push(Chunk {
            seq,
            kind,
            content,
            at,
        });
        let stored = chunks.len();
        drop(chunks);
        self.0.stored.send_replace(stored);
    }

    /// Returns up to `limit` chunks after number `seq`.
    pub(crate) fn after(&self, seq: u64, limit: usize) -> Vec<Chunk> {
        let chunks = self.chunks();
        let start = usize::try_from(seq).unwrap_or(usize::MAX).min(chunks.len());
        chunks[start..].iter().take(limit).cloned().collect()
    }

    /// Returns a receiver that changes when chunks are stored.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.0.stored.subscribe()
    }
}

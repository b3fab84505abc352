//! Readers that count, hash and stop.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

use super::ImageLimits;
use super::refusal::Refusal;
use crate::digest;

/// How far a layer may grow before its ratio counts: small ones may well be all zeros.
const SMALL: u64 = 256 << 20;

/// What one header with its long names and attributes may take.
const HEADER: u64 = 1 << 20;

/// Says that the work is not needed any more. Clones are handles on the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Stops, within one read.
    pub(crate) fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether somebody stopped it.
    pub(crate) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts what comes from the archive's file.
pub(super) struct Raw<R> {
    inner: R,
    count: Rc<Cell<u64>>,
    stop: Stop,
}

impl<R> Raw<R> {
    pub(super) fn new(inner: R, stop: Stop) -> (Self, Rc<Cell<u64>>) {
        let count = Rc::new(Cell::new(0));
        let raw = Self {
            inner,
            count: count.clone(),
            stop,
        };
        (raw, count)
    }
}

impl<R: Read> Read for Raw<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_stopped() {
            return Err(Refusal::Stopped.into());
        }
        let read = self.inner.read(into)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

/// What is known of a layer while it is read.
pub(super) struct Gauge {
    limits: ImageLimits,
    /// Read from the archive's file.
    raw: Rc<Cell<u64>>,
    /// After decompression.
    plain: Cell<u64>,
    /// Bytes that the next header may still take; none while a file's content is read.
    header: Cell<Option<u64>>,
    hash: std::cell::RefCell<Sha256>,
}

impl Gauge {
    pub(super) fn new(limits: ImageLimits, raw: Rc<Cell<u64>>) -> Rc<Self> {
        Rc::new(Self {
            limits,
            raw,
            plain: Cell::new(0),
            header: Cell::new(None),
            hash: Sha256::new().into(),
        })
    }

    /// A header comes: it is read into memory, so it must be small.
    pub(super) fn begin_header(&self) {
        self.header.set(Some(HEADER));
    }

    /// The header is over.
    pub(super) fn end_header(&self) {
        self.header.set(None);
    }

    /// Returns the digest of all that was read.
    pub(super) fn digest(&self) -> String {
        digest::written(self.hash.borrow().clone())
    }

    fn count(&self, bytes: &[u8]) -> Result<(), Refusal> {
        self.hash.borrow_mut().update(bytes);
        let plain = self.plain.get() + bytes.len() as u64;
        self.plain.set(plain);
        if let Some(left) = self.header.get() {
            let Some(left) = left.checked_sub(bytes.len() as u64) else {
                return Err(Refusal::Entry {
                    entry: "…".to_owned(),
                    why: "has names and attributes of more than 1 MiB",
                });
            };
            self.header.set(Some(left));
        }
        self.check_bytes(plain)?;
        let ratio = plain / self.raw.get().max(1);
        if plain > SMALL && ratio > self.limits.ratio {
            return Err(Refusal::Limit {
                key: "image.ratio",
                allowed: format!("{} times its compressed size", self.limits.ratio),
            });
        }
        Ok(())
    }

    /// Checks what a layer takes, sparse files at their full size.
    pub(super) fn check_bytes(&self, bytes: u64) -> Result<(), Refusal> {
        if bytes <= self.limits.bytes {
            return Ok(());
        }
        Err(Refusal::Limit {
            key: "image.bytes",
            allowed: format!("{} bytes when unpacked", self.limits.bytes),
        })
    }

    /// Checks the number of entries.
    pub(super) fn check_entries(&self, entries: u64) -> Result<(), Refusal> {
        if entries <= self.limits.entries {
            return Ok(());
        }
        Err(Refusal::Limit {
            key: "image.entries",
            allowed: format!("{} entries", self.limits.entries),
        })
    }
}

/// Measures what comes out of the decompression.
pub(super) struct Plain<R> {
    inner: R,
    gauge: Rc<Gauge>,
}

impl<R> Plain<R> {
    pub(super) fn new(inner: R, gauge: Rc<Gauge>) -> Self {
        Self { inner, gauge }
    }
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // A header is read in small pieces, so that its allowance is not passed by much.
        let read = self.inner.read(into)?;
        self.gauge.count(&into[..read])?;
        Ok(read)
    }
}

//! Many small texts, few large writes.

use std::io::{self, Write};

/// A write is made when this much is waiting: large enough that the calls do not
/// show beside the copying, small enough for a processor's cache.
const FULL: usize = 256 * 1024;

/// Collects bytes for a writer.
#[derive(Debug)]
pub(crate) struct Buffer<W> {
    out: W,
    bytes: Vec<u8>,
}

impl<W: Write> Buffer<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            bytes: Vec::new(),
        }
    }

    /// Returns what waits, to append to; follow it with [`Self::spill`].
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Writes what waits if it is much.
    pub(crate) fn spill(&mut self) -> io::Result<()> {
        if self.bytes.len() < FULL {
            return Ok(());
        }
        self.write()
    }

    /// Writes what waits, and flushes the writer.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.write()?;
        self.out.flush()
    }

    fn write(&mut self) -> io::Result<()> {
        let result = self.out.write_all(&self.bytes);
        self.bytes.clear();
        // One line of many MiB must not keep its memory for good.
        self.bytes.shrink_to(4 * FULL);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers the size of every write.
    struct Writes(Vec<usize>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn small_texts_become_large_writes() {
        let mut buffer = Buffer::new(Writes(Vec::new()));
        for _ in 0..100_000 {
            buffer.bytes().extend_from_slice(b"0123456789");
            buffer.spill().unwrap();
        }
        buffer.flush().unwrap();
        assert!(buffer.out.0.len() <= 4, "{:?}", buffer.out.0);
        assert_eq!(buffer.out.0.iter().sum::<usize>(), 1_000_000);
    }
}

//! A file without a name, for text that is too much for memory and may yet be wanted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The file is used in slots of this size, so that what one log gives back another
/// can take. A slot that is not filled takes no more of the disk than it holds.
pub(super) const SLOT: usize = 256 * 1024;

/// Slots of a temporary file; gone with this process, however it ends.
#[derive(Debug)]
pub(super) struct Spill {
    dir: PathBuf,
    file: Option<File>,
    pub(super) free: Vec<u64>,
    /// Slots ever handed out.
    slots: u64,
}

/// Where a piece of text lies. Its slot is given back by [`Spill::give_back`] alone.
#[derive(Debug)]
pub(super) struct Extent {
    slot: u64,
    len: usize,
}

impl Spill {
    /// Makes a spill in `dir`, which is touched at the first write.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            file: None,
            free: Vec::new(),
            slots: 0,
        }
    }

    /// Writes at most [`SLOT`] bytes.
    pub(super) fn write(&mut self, text: &[u8]) -> io::Result<Extent> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(&self.dir)?);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        });
        let written = match &self.file {
            Some(file) => file.write_all_at(text, slot * SLOT as u64),
            None => Ok(()),
        };
        if let Err(error) = written {
            self.free.push(slot);
            return Err(error);
        }
        Ok(Extent {
            slot,
            len: text.len(),
        })
    }

    /// Reads a piece into `text`, in place of what stood there.
    pub(super) fn read(&self, extent: &Extent, text: &mut Vec<u8>) -> io::Result<()> {
        text.resize(extent.len, 0);
        match &self.file {
            Some(file) => file.read_exact_at(text, extent.slot * SLOT as u64),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Takes back the slot of a piece that is no longer wanted.
    pub(super) fn give_back(&mut self, extent: Extent) {
        self.free.push(extent.slot);
    }
}

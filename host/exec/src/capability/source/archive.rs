//! The tree as a gzipped tar: the same bytes for the same tree, on every machine.

use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use hm_vm::FrozenSource;
use hm_vm::source::{EntryKind, SourceEntry};
use tar::{EntryType, Header, HeaderMode};
use tokio::sync::{mpsc, oneshot};

use super::{Size, SourceTree, size};
use crate::session::Call;

/// Bytes handed on at once, and how many such pieces are held: what an archive takes of
/// memory, however large the tree is.
const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 4;

/// When every entry was last written to: 1980, the first year that all archive formats and
/// build tools take for a date.
const MODIFIED: u64 = 315_532_800;

/// In the header of the archive: no file system in particular (RFC 1952).
const UNKNOWN_SYSTEM: u8 = 255;

/// An archive that is being made.
pub(super) struct Archive {
    pub(super) data: mpsc::Receiver<Bytes>,
    pub(super) done: oneshot::Receiver<Result<Size, String>>,
}

/// Begins an archive. Its maker stops when nobody takes the data any more; until then it
/// counts as a `call` in flight, whatever became of the guest's ends.
pub(super) fn begin(tree: Arc<SourceTree>, call: Call) -> Archive {
    let (sender, data) = mpsc::channel(CHUNKS);
    let (done_sender, done) = oneshot::channel();
    tokio::spawn(async move {
        let made = match tree.frozen().await {
            Err(text) => Err(text),
            Ok(frozen) => {
                let failed = |error: &dyn std::error::Error| {
                    format!("the archive could not be made: {error}")
                };
                match tokio::task::spawn_blocking(move || write(&frozen, sender)).await {
                    Ok(made) => made.map_err(|error| failed(&error)),
                    Err(error) => Err(failed(&error)),
                }
            }
        };
        drop(call);
        // Who dropped the future does not want to know.
        let _ = done_sender.send(made);
    });
    Archive { data, done }
}

fn write(frozen: &FrozenSource, to: mpsc::Sender<Bytes>) -> io::Result<Size> {
    let gzip = GzBuilder::new()
        .mtime(0)
        .operating_system(UNKNOWN_SYSTEM)
        .write(Chunks::new(to), Compression::default());
    let mut tar = tar::Builder::new(gzip);
    tar.mode(HeaderMode::Deterministic);
    // Sorted by path, so that a folder comes before what is in it.
    for entry in frozen.entries() {
        append(&mut tar, &entry).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", entry.path.display()))
        })?;
    }
    tar.into_inner()?.finish()?.flush()?;
    Ok(size(frozen))
}

fn append(tar: &mut tar::Builder<impl Write>, entry: &SourceEntry<'_>) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_mtime(MODIFIED);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    match (entry.kind, &entry.copy) {
        (EntryKind::Directory, _) => {
            header.set_entry_type(EntryType::Directory);
            // The slash is how a tar says that it is a folder.
            tar.append_data(&mut header, entry.path.join(""), io::empty())
        }
        (EntryKind::Symlink, Some(copy)) => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            tar.append_link(&mut header, entry.path, std::fs::read_link(copy)?)
        }
        (EntryKind::File, Some(copy)) => {
            let file = File::open(copy)?;
            header.set_entry_type(EntryType::Regular);
            header.set_size(file.metadata()?.len());
            tar.append_data(&mut header, entry.path, file)
        }
        (_, None) => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Collects bytes into pieces and waits until somebody takes them.
struct Chunks {
    buffer: Vec<u8>,
    to: mpsc::Sender<Bytes>,
}

impl Chunks {
    fn new(to: mpsc::Sender<Bytes>) -> Self {
        Self {
            buffer: Vec::with_capacity(CHUNK),
            to,
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let chunk = mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.to
            .blocking_send(chunk.into())
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody reads it"))
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == CHUNK {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            Ok(())
        } else {
            self.send()
        }
    }
}

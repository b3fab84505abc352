//! A frozen tree as a tar archive, for whoever cannot mount its layers.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

use super::layer::WORKSPACE;

/// Size of a piece, and how many wait for whoever takes them.
const PIECE: usize = 256 << 10;
const PIECES: usize = 4;

/// Streams what the layers (topmost first) show together. Everything belongs to user 0;
/// modes, times, links and names are as they are.
pub(crate) fn stream(
    layers: Arc<[PathBuf]>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (sender, mut receiver) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let pieces = Pieces {
            sender: sender.clone(),
            piece: Vec::with_capacity(PIECE),
        };
        if let Err(error) = write(&layers, pieces) {
            // Nobody listens any more if this fails.
            let _ = sender.blocking_send(Err(error));
        }
    });
    futures::stream::poll_fn(move |cx| receiver.poll_recv(cx))
}

/// Collects what is written, and hands it on a piece at a time.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.sender
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

fn write(layers: &[PathBuf], pieces: Pieces) -> io::Result<()> {
    let mut archive = Builder::new(pieces);
    let roots = layers.iter().map(|layer| layer.join(WORKSPACE)).collect();
    // Folders yet to be looked into: their name, and where they are, topmost first.
    let mut pending: Vec<(PathBuf, Vec<PathBuf>)> = vec![(PathBuf::new(), roots)];
    while let Some((name, places)) = pending.pop() {
        if let Some(top) = places.first().filter(|_| !name.as_os_str().is_empty()) {
            append(&mut archive, &name, top)?;
        }
        for (entry, places) in merged(&places)? {
            let name = name.join(entry);
            match places.as_slice() {
                [first, ..] if fs::symlink_metadata(first)?.is_dir() => {
                    pending.push((name, places));
                }
                [first, ..] => append(&mut archive, &name, first)?,
                [] => {}
            }
        }
    }
    archive.into_inner()?.flush()
}

/// Returns what folders show together: each name with the places that make it up.
fn merged(folders: &[PathBuf]) -> io::Result<Vec<(OsString, Vec<PathBuf>)>> {
    let mut found: Vec<(OsString, Vec<PathBuf>)> = Vec::new();
    let mut index = std::collections::HashMap::new();
    // Names whose lower places do not show.
    let mut closed: HashSet<OsString> = HashSet::new();
    for folder in folders {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if closed.contains(&name) {
                continue;
            }
            let kind = entry.file_type()?;
            let is_whiteout = kind.is_char_device() && entry.metadata()?.rdev() == 0;
            if !kind.is_dir() {
                closed.insert(name.clone());
                if is_whiteout || index.contains_key(&name) {
                    continue;
                }
            }
            let place = entry.path();
            if kind.is_dir() && is_opaque(&place) {
                closed.insert(name.clone());
            }
            let at = *index.entry(name.clone()).or_insert_with(|| {
                found.push((name, Vec::new()));
                found.len() - 1
            });
            found[at].1.push(place);
        }
    }
    Ok(found)
}

fn is_opaque(folder: &Path) -> bool {
    ["trusted.overlay.opaque", "user.overlay.opaque"]
        .iter()
        .any(|name| {
            let mut value = [0_u8; 1];
            rustix::fs::lgetxattr(folder, *name, &mut value[..]).is_ok_and(|_| &value == b"y")
        })
}

fn append(archive: &mut Builder<Pieces>, name: &Path, place: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(place)?;
    let mut header = Header::new_gnu();
    header.set_mode(found.mode() & 0o7777);
    header.set_mtime(u64::try_from(found.mtime()).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    if found.is_dir() {
        header.set_entry_type(EntryType::Directory);
        // The name's own slash tells some readers that it is a folder.
        return archive.append_data(&mut header, name.join(""), io::empty());
    }
    if found.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        let target = fs::read_link(place)?;
        return archive.append_link(&mut header, name, target);
    }
    header.set_entry_type(EntryType::Regular);
    header.set_size(found.size());
    archive.append_data(&mut header, name, fs::File::open(place)?)
}

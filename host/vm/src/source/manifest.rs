//! What a store's layers hold together, remembered between builds.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Stat};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Begins the file; the last byte is the version of what follows.
const MAGIC: [u8; 8] = *b"hm-src\0\x01";

/// Magic, generation, boot and digest.
const HEADER: usize = 8 + 16 + 16 + 32;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Directory,
    File,
    Symlink,
}

/// An entry of the tree as it was when its copy was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Relative to the root, which is the empty path. Bytes: names need not be UTF-8.
    #[serde(with = "serde_bytes")]
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// Permissions and the sticky bit. Set-id bits are not kept, as owners are not: they
    /// would lend another user's rights than meant.
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) inode: u64,
    /// Nanoseconds since 1970, as the next.
    pub(super) modified: i64,
    pub(super) changed: i64,
    /// Touched so shortly before it was read that a later change may carry the same
    /// times: its content is compared next time, whatever the times say.
    pub(super) racy: bool,
    /// Number of the layer that holds the copy. Of no meaning for folders.
    pub(super) layer: u32,
}

impl Entry {
    /// Describes what a call to stat found, if a layer can hold such a thing.
    pub(super) fn new(path: Vec<u8>, stat: &Stat) -> Option<Self> {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            _ => return None,
        };
        Some(Self {
            path,
            kind,
            mode: stat.st_mode & 0o1777,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            inode: stat.st_ino,
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
            racy: false,
            layer: 0,
        })
    }

    /// Whether nothing tells the two apart from outside.
    pub(super) fn same_stat(&self, other: &Self) -> bool {
        self.same_shape(other) && self.inode == other.inode && self.changed == other.changed
    }

    /// Whether they could well hold the same, if the file was replaced by itself.
    pub(super) fn same_shape(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.mode == other.mode
            && self.size == other.size
            && self.modified == other.modified
    }
}

/// The width and sign of these fields differ between architectures.
fn nanoseconds(seconds: impl TryInto<i64>, nanoseconds: impl TryInto<i64>) -> i64 {
    seconds
        .try_into()
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds.try_into().unwrap_or(0))
}

/// A layer of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layer {
    pub(super) number: u32,
    /// The folder's name.
    pub(super) name: String,
    /// Bytes of the files that were written into it.
    pub(super) bytes: u64,
}

/// The tree of one freeze, and where its copies lie.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Topmost first; the last is the base.
    pub(super) layers: Vec<Layer>,
    /// Sorted by path, so a folder comes before what is in it.
    pub(super) entries: Vec<Entry>,
}

impl Manifest {
    /// Returns the entry at a path.
    pub(super) fn get(&self, path: &[u8]) -> Option<&Entry> {
        find(&self.entries, path)
    }

    pub(super) fn layer(&self, number: u32) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.number == number)
    }
}

/// Returns the entry at a path, in entries sorted by path.
pub(super) fn find<'a>(entries: &'a [Entry], path: &[u8]) -> Option<&'a Entry> {
    entries
        .binary_search_by(|entry| entry.path.as_slice().cmp(path))
        .ok()
        .and_then(|index| entries.get(index))
}

/// Returns the path of the folder that an entry is in; the root is in none.
pub(super) fn parent(path: &[u8]) -> Option<&[u8]> {
    if path.is_empty() {
        return None;
    }
    Some(match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => &path[..slash],
        None => &[],
    })
}

/// The head of a manifest file, which tells whether the rest can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Random, another one each time a manifest is written.
    pub(super) generation: Uuid,
    /// Of the boot in which it was written: files may be lost in the next one.
    pub(super) boot: Uuid,
    digest: [u8; 32],
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        (bytes[..8] == MAGIC).then_some(())?;
        Some(Self {
            generation: Uuid::from_slice(&bytes[8..24]).ok()?,
            boot: Uuid::from_slice(&bytes[24..40]).ok()?,
            digest: bytes[40..].try_into().ok()?,
        })
    }

    /// Reads the head alone.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let mut bytes = [0; HEADER];
        io::Read::read_exact(&mut fs::File::open(path).ok()?, &mut bytes).ok()?;
        Self::parse(&bytes)
    }
}

/// Reads a manifest; none if there is none or it is torn or of another version.
pub(super) fn read(path: &Path) -> Option<(Header, Manifest)> {
    let bytes = fs::read(path).ok()?;
    let header = Header::parse(&bytes)?;
    let body = bytes.get(HEADER..)?;
    if Sha256::digest(body).as_slice() != header.digest {
        return None;
    }
    Some((header, postcard::from_bytes(body).ok()?))
}

/// Writes a manifest, beside first and then in place.
pub(super) fn write(path: &Path, boot: Uuid, manifest: &Manifest) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(HEADER + manifest.entries.len() * 96);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(Uuid::new_v4().as_bytes());
    bytes.extend_from_slice(boot.as_bytes());
    bytes.extend_from_slice(&[0; 32]);
    let mut bytes = postcard::to_extend(manifest, bytes).map_err(io::Error::other)?;
    let digest = Sha256::digest(&bytes[HEADER..]);
    bytes[40..HEADER].copy_from_slice(digest.as_slice());
    let beside = path.with_extension("new");
    fs::write(&beside, bytes)?;
    fs::rename(&beside, path)
}

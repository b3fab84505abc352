//! A repository's kept snapshots as files that another machine can take over.
//!
//! ```text
//! hm-cache.json             {"format": 1, "index": "sha256:…"}
//! blobs/sha256/HEX          the index (JSON), and each layer as a zstd-compressed tar
//! ```
//!
//! - Everything is named by its digest, so what was changed on the way is refused, and
//!   nothing of it is kept.
//! - Keys stand without the repository: it is a machine's own number for a folder. They
//!   are bound again to the repository in which the user restores.
//! - A layer says what it removes in a form that is neither of overlayfs's kinds, so
//!   snapshots of root and of others can be exchanged as far as ownership allows.
//! - Images below snapshots do not come along: they have a registry, or a file, of their
//!   own.

mod pack;
mod restore;
mod save;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use restore::Restored;
pub(crate) use restore::restore;
pub use save::Saved;
pub(crate) use save::{Target, save};

/// Changes when files of another kind are written.
const FORMAT: u32 = 1;

/// Name of the file that everything hangs on.
const MARKER: &str = "hm-cache.json";

/// Where blobs lie.
const BLOBS: &str = "blobs/sha256";

/// The one engine whose snapshots are files of ours.
pub(crate) const ENGINE: &str = "sandbox";

/// What [`MARKER`] holds.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    format: u32,
    /// Digest of the index.
    index: String,
}

/// What was saved.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    engine: String,
    /// Whether files have owners; an ordinary user's all belong to root inside.
    ownership: bool,
    snapshots: Vec<PackedSnapshot>,
    layers: Vec<PackedLayer>,
}

/// A snapshot and how it is found.
#[derive(Debug, Serialize, Deserialize)]
struct PackedSnapshot {
    /// Without the repository.
    key: String,
    /// Digest of the image below; none is the host's file system.
    image: Option<String>,
    /// Digests, topmost first.
    layers: Vec<String>,
}

/// A layer's blob.
#[derive(Debug, Serialize, Deserialize)]
struct PackedLayer {
    digest: String,
    /// Bytes of the blob.
    size: u64,
    /// Digest of the archive before compression.
    diff_id: String,
}

/// Bytes of a key.
const KEY: usize = 32;

/// Binds a step's key to a repository. Without it two repositories with the same steps
/// would find each other's files.
///
/// A mask over the key, and not a digest of both, so that [`unbind`] can take it off when
/// the key is to be bound to the same repository's place on another machine.
pub fn bind(step_key: [u8; KEY], repository: &str) -> String {
    hex::encode(masked(step_key, repository))
}

/// Returns the step's key of one that is bound to a repository; none for what is no key.
pub fn unbind(key: &str, repository: &str) -> Option<[u8; KEY]> {
    Some(masked(parse(key)?, repository))
}

/// Reads a key as it is written.
fn parse(key: &str) -> Option<[u8; KEY]> {
    hex::decode(key).ok()?.try_into().ok()
}

fn masked(mut key: [u8; KEY], repository: &str) -> [u8; KEY] {
    let mask = Sha256::new_with_prefix("hm-repository\0").chain_update(repository);
    for (byte, mask) in key.iter_mut().zip(mask.finalize()) {
        *byte ^= mask;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_belongs_to_one_repository() {
        let step = [7; KEY];
        let (one, two) = (bind(step, "one"), bind(step, "two"));
        assert_ne!(one, two);
        assert_eq!(one.len(), 64);
        assert_eq!(unbind(&one, "one"), Some(step));
        assert_ne!(unbind(&one, "two"), Some(step));
        assert_eq!(unbind("abc", "one"), None);
    }
}

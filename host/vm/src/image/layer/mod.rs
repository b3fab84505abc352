//! A layer from an archive to a folder that overlayfs can stack, whoever made the archive.
//!
//! The archive is taken for hostile: nothing it says reaches outside its folder, names a
//! device, sets an attribute of overlayfs, or takes more room than the user allows. Every
//! refusal names the entry or the limit.

mod attributes;
mod compression;
mod meter;
mod name;
mod refusal;
mod tree;
mod unpack;

pub(crate) use meter::Stop;
pub(crate) use refusal::Refusal;
pub(crate) use unpack::{Dialect, OPAQUE, Unpacked, Unpacking, names, unpack};

/// Which attributes overlayfs reads in a layer: as the mount is made by root, or in a user
/// namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// `trusted.overlay.*`.
    Trusted,
    /// `user.overlay.*`.
    User,
}

impl Flavour {
    /// All there are.
    pub(super) const ALL: [Self; 2] = [Self::Trusted, Self::User];

    /// Returns the word that folders and the registry know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::User => "user",
        }
    }

    /// Returns the flavour of a word.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flavour| flavour.name() == name)
    }

    /// Returns the attribute that hides what lies below a folder.
    pub(crate) fn opaque(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }
}

/// How much an image may take. Each is checked while the archive is read, so that what is
/// over a limit is never there in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLimits {
    /// Bytes of a layer when unpacked. The largest images in use (CUDA, Android) have
    /// layers of some 10 GiB.
    pub bytes: u64,
    /// Files, folders and links of a layer. A Linux distribution with a desktop has some
    /// 300,000.
    pub entries: u64,
    /// Times that a layer may grow when it is decompressed, once it is over 256 MiB. File
    /// systems shrink to a third or a tenth.
    pub ratio: u64,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 2_000_000,
            ratio: 200,
        }
    }
}

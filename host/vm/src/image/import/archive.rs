//! What kind of archive it is, and reading files of an unpacked one.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use serde::de::DeserializeOwned;

use crate::error::VmError;
use crate::image::failure;
use crate::image::layer::{ImageLimits, Refusal, names};
use crate::image::manifest::SMALL;
use crate::state::io_error;

/// What an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file system, from its root on.
    RootFileSystem,
    /// What `docker save` writes.
    Docker,
    /// An OCI image layout.
    Layout,
}

/// Finds out what an archive holds, reading no more of it than that takes. Blocks.
pub(super) fn kind(path: &Path, limits: ImageLimits) -> Result<Kind, Refusal> {
    let file = File::open(path).map_err(Refusal::Archive)?;
    let (mut has_manifest, mut has_layout, mut is_plain) = (false, false, false);
    names(file, limits, |name| {
        let mut parts = name
            .split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty() && *part != b".");
        let (first, more) = (parts.next(), parts.next().is_some());
        let Some(first) = first else { return true };
        is_plain = !is_of_images(first);
        has_manifest |= first == b"manifest.json" && !more;
        has_layout |= first == b"oci-layout" && !more;
        !is_plain
    })?;
    Ok(match (is_plain, has_layout, has_manifest) {
        (false, true, _) => Kind::Layout,
        (false, false, true) => Kind::Docker,
        _ => Kind::RootFileSystem,
    })
}

/// Tells whether archives of images have such a name at the top.
fn is_of_images(name: &[u8]) -> bool {
    let stem = name
        .strip_suffix(b".json")
        .or_else(|| name.strip_suffix(b".tar"))
        .or_else(|| name.strip_suffix(b".tar.gz"))
        .unwrap_or(name);
    let is_digest = stem.len() == 64 && stem.iter().all(u8::is_ascii_hexdigit);
    let known: [&[u8]; 5] = [
        b"manifest.json",
        b"repositories",
        b"index.json",
        b"oci-layout",
        b"blobs",
    ];
    is_digest || known.contains(&name)
}

/// A folder of blobs. Links in it lead nowhere else.
#[derive(Debug)]
pub(crate) struct Folder {
    shown: String,
    root: OwnedFd,
}

impl Folder {
    pub(crate) fn open(shown: &str, path: &Path) -> Result<Self, VmError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(path, flags, Mode::empty()).map_err(io_error("cannot open", path))?;
        Ok(Self {
            shown: shown.to_owned(),
            root,
        })
    }

    /// Opens a file. None if there is no such file.
    pub(crate) fn file(&self, name: &str) -> Result<Option<File>, VmError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let file = match openat2(&self.root, name, flags, Mode::empty(), how) {
            Ok(file) => File::from(file),
            Err(error) if io::Error::from(error).kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(io_error("cannot open", name)(error)),
        };
        let is_file = file.metadata().is_ok_and(|found| found.is_file());
        Ok(is_file.then_some(file))
    }

    /// Opens a file that must be there.
    pub(super) fn needed(&self, name: &str) -> Result<File, VmError> {
        self.file(name)?.ok_or_else(|| {
            failure::refused(&self.shown, format!("it has no `{}`", name.escape_debug()))
        })
    }

    /// Reads a small file.
    pub(crate) fn text(&self, name: &str) -> Result<Vec<u8>, VmError> {
        self.read(name, SMALL)
    }

    /// Reads a file that may be larger: an index of many snapshots.
    pub(crate) fn large_text(&self, name: &str) -> Result<Vec<u8>, VmError> {
        self.read(name, 64 * SMALL)
    }

    fn read(&self, name: &str, most: u64) -> Result<Vec<u8>, VmError> {
        let mut text = Vec::new();
        self.needed(name)?
            .take(most + 1)
            .read_to_end(&mut text)
            .map_err(io_error("cannot read", name))?;
        if text.len() as u64 > most {
            return Err(failure::refused(
                &self.shown,
                format!("its `{}` has more than {most} bytes", name.escape_debug()),
            ));
        }
        Ok(text)
    }

    /// Reads a small file of JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, VmError> {
        serde_json::from_slice(&self.text(name)?).map_err(|error| {
            failure::refused(&self.shown, format!("its `{name}` cannot be read: {error}"))
        })
    }
}

//! A component's bytes: read once, named by their digest, recognised by their first words.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use wasmtime::Engine;

use super::LoadError;
use crate::sequencer::clean::one_line;

/// Where a component's bytes come from.
#[derive(Debug, Clone)]
pub enum ComponentSource {
    /// A file, read once and whole.
    File(PathBuf),
    /// In this program.
    Embedded {
        /// For messages.
        name: &'static str,
        /// The component.
        bytes: &'static [u8],
    },
}

/// The bytes of a component. From here on path, links and times of the file mean nothing.
#[derive(Clone)]
pub struct ComponentFile {
    name: String,
    bytes: Cow<'static, [u8]>,
    digest: [u8; 32],
}

impl ComponentFile {
    /// Reads a component and looks at its first bytes.
    pub(super) fn read(source: &ComponentSource, limit: u64) -> Result<Self, LoadError> {
        let (name, bytes): (String, Cow<'static, [u8]>) = match source {
            ComponentSource::Embedded { name, bytes } => {
                ((*name).to_owned(), Cow::Borrowed(*bytes))
            }
            ComponentSource::File(path) => {
                let name = one_line(&path.display().to_string());
                let bytes = read(path, &name, limit)?;
                (name, Cow::Owned(bytes))
            }
        };
        recognise(&name, &bytes)?;
        let digest = Sha256::digest(&bytes).into();
        Ok(Self {
            name,
            bytes,
            digest,
        })
    }

    /// Returns how the component is called in messages: its path as typed, or its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns `sha256:` and 64 hex digits.
    pub fn digest(&self) -> String {
        format!("sha256:{}", hex::encode(self.digest))
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn raw_digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

fn read(path: &Path, name: &str, limit: u64) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let name = || name.to_owned();
    // A pipe that nobody writes to would hold up an ordinary open for ever, and a terminal
    // would become ours.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(failed)?;
    let kind = file.metadata().map_err(failed)?;
    if kind.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    if !kind.is_file() {
        return Err(LoadError::NotAComponent {
            name: name(),
            what: "no regular file".into(),
        });
    }
    if kind.len() > limit {
        return Err(LoadError::TooLarge {
            name: name(),
            limit,
        });
    }
    let mut bytes = Vec::with_capacity(kind.len() as usize);
    // One more than allowed, for a file that grows while it is read.
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(LoadError::TooLarge {
            name: name(),
            limit,
        });
    }
    Ok(bytes)
}

/// Refuses what is not a component binary, by the name of what it is. Only the first bytes
/// are looked at: nothing is parsed in this process.
fn recognise(name: &str, bytes: &[u8]) -> Result<(), LoadError> {
    use wasmparser::Parser;
    let what = if Parser::is_component(bytes) {
        return Ok(());
    } else if bytes.is_empty() {
        "an empty file"
    } else if Engine::detect_precompiled(bytes).is_some() {
        "compiled machine code, which is never loaded from a file"
    } else if Parser::is_core_wasm(bytes) {
        "a core module"
    } else if bytes.trim_ascii_start().starts_with(b"(") {
        "WebAssembly text"
    } else if bytes.starts_with(b"\x7fELF") {
        "a native program"
    } else if b"\0asm".starts_with(bytes) || bytes.starts_with(b"\0asm") && bytes.len() < 8 {
        return Err(LoadError::Invalid {
            name: name.into(),
            reason: format!("it is cut short at byte {}", bytes.len()),
        });
    } else if bytes.starts_with(b"\0asm") {
        "WebAssembly of a version that hm does not know"
    } else {
        "no WebAssembly"
    };
    Err(LoadError::NotAComponent {
        name: name.into(),
        what: what.into(),
    })
}

//! Compiled code on disk, so that a component is compiled once a machine.

mod place;
mod seal;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::worker::Report;
use seal::Key;

/// A folder of compiled components, keyed by the component's digest, the engine's version
/// and its settings.
///
/// Its code is executed as it is, and cache folders travel: a CI system restores one that
/// another's job wrote. So an entry counts only with a seal made with a key that lies
/// outside, in the user's configuration; and the folder must be the user's alone. Any
/// doubt means that the component is compiled again. Never fails: without a cache a
/// component is only slower to start.
#[derive(Debug, Clone)]
pub struct CodeCache {
    folder: PathBuf,
    key_file: PathBuf,
}

/// What an entry holds.
pub(super) struct Compiled {
    /// What was found in the component's bytes; so a cached start parses nothing.
    pub(super) report: Report,
    /// The whole entry: the code is executed from the very bytes that were checked.
    entry: Vec<u8>,
    code: std::ops::Range<usize>,
}

impl Compiled {
    /// Returns machine code that this user's `hm` compiled and sealed.
    pub(super) fn code(&self) -> &[u8] {
        &self.entry[self.code.clone()]
    }
}

/// Names one entry: which bytes, compiled by which engine with which settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) digest: &'a [u8; 32],
    pub(super) engine: &'a [u8; 32],
}

impl CodeCache {
    /// Names the folder of the cache, and the file of the key that seals its entries. Both
    /// are made at the first write.
    pub fn new(folder: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            key_file: key_file.into(),
        }
    }

    fn entry(&self, name: Name<'_>) -> PathBuf {
        let digest = hex::encode(name.digest);
        self.folder
            .join(format!("{digest}-{}", hex::encode(&name.engine[..8])))
    }

    /// Returns the sealed entry of a component. One that is there and is not right is
    /// removed, and a line says why.
    pub(super) fn get(&self, name: Name<'_>) -> Option<Compiled> {
        let path = self.entry(name);
        if fs::symlink_metadata(&path).is_err() {
            return None;
        }
        match self.read(&path, name) {
            Ok(compiled) => Some(compiled),
            Err(why) => {
                self.discard(name, &why);
                None
            }
        }
    }

    /// Removes an entry, and says why.
    pub(super) fn discard(&self, name: Name<'_>, why: &str) {
        let path = self.entry(name);
        tracing::info!(
            "the compiled code in {} is not used and is made again: {why}",
            path.display()
        );
        // Only in a folder that is ours; there it may be anything.
        if place::check_folder(&self.folder).is_ok() && fs::remove_file(&path).is_err() {
            let _ = fs::remove_dir_all(&path);
        }
    }

    fn read(&self, path: &Path, name: Name<'_>) -> Result<Compiled, String> {
        place::check_folder(&self.folder)?;
        let key = Key::read(&self.key_file)?;
        let entry = place::read(path, seal::ENTRY_MAX)?;
        let (report, code) = key.open(&entry, name)?;
        Ok(Compiled {
            report,
            entry,
            code,
        })
    }

    /// Keeps the code of a component, and returns it as [`get`](Self::get) would.
    pub(super) fn put(&self, name: Name<'_>, report: &Report, code: &[u8]) {
        if let Err(why) = self.write(name, report, code) {
            tracing::info!("compiled code is not kept: {why}");
        }
    }

    fn write(&self, name: Name<'_>, report: &Report, code: &[u8]) -> Result<(), String> {
        place::make_folder(&self.folder)?;
        let key = Key::read_or_make(&self.key_file)?;
        let (head, tag) = key.seal(name, report, code)?;
        let entry = self.entry(name);
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::Builder::new()
                .prefix(".new-")
                .tempfile_in(&self.folder)?;
            for part in [&head, code, &tag] {
                file.write_all(part)?;
            }
            file.persist(&entry)?;
            Ok(())
        };
        write().map_err(|error| format!("cannot write {}: {error}", entry.display()))
    }
}

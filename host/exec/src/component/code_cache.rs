//! Compiled code on disk, so that a component is compiled once a machine.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// First bytes of an entry; the digit is the layout of what follows.
const MAGIC: &[u8; 8] = b"hm-code1";

/// A folder of compiled components, keyed by the component's digest, the engine's version
/// and its settings.
///
/// The code in it is executed as it is, so the folder must be the user's alone (0700);
/// any doubt about an entry means that it is compiled again. Never fails: without a cache
/// a component is only slower to start.
pub struct CodeCache {
    folder: PathBuf,
}

impl CodeCache {
    /// Makes a cache in `folder`, which is created at the first write.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn entry(&self, engine: &Engine, digest: &str) -> PathBuf {
        self.folder
            .join(format!("{digest}-{}", settings_hash(engine)))
    }

    /// Returns the code compiled from the component with this digest.
    pub(super) fn get(&self, engine: &Engine, digest: &str) -> Option<Component> {
        if !is_private(&self.folder) {
            return None;
        }
        let entry = fs::read(self.entry(engine, digest)).ok()?;
        let code = unseal(&entry, digest)?;
        // SAFETY: the code was written by `put`, into a folder that only this user can
        // write to, from a component that this engine compiled; the checksum shows that it is
        // whole. The engine itself refuses code of another version or other settings.
        unsafe { Component::deserialize(engine, code) }
            .inspect_err(|error| tracing::debug!("cached code is not used: {error:#}"))
            .ok()
    }

    /// Keeps the code of a component.
    pub(super) fn put(&self, engine: &Engine, digest: &str, component: &Component) {
        if let Err(error) = self.write(engine, digest, component) {
            tracing::debug!(folder = %self.folder.display(), "compiled code is not kept: {error:#}");
        }
    }

    fn write(
        &self,
        engine: &Engine,
        digest: &str,
        component: &Component,
    ) -> Result<(), Box<dyn std::error::Error>> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        if !is_private(&self.folder) {
            return Err("the folder is not this user's alone".into());
        }
        let code = component.serialize()?;
        let entry = self.entry(engine, digest);
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.folder)?;
        file.write_all(MAGIC)?;
        file.write_all(&seal(digest, &code))?;
        file.write_all(&code)?;
        file.persist(entry)?;
        Ok(())
    }
}

impl std::fmt::Debug for CodeCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeCache")
            .field("folder", &self.folder)
            .finish()
    }
}

/// What the engine's version and settings make of the same component.
fn settings_hash(engine: &Engine) -> String {
    let mut hasher = Settings(Sha256::new());
    std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut hasher);
    hex::encode(&hasher.0.finalize()[..8])
}

/// Lets what only implements `Hash` into a digest that is the same in every process.
struct Settings(Sha256);

impl std::hash::Hasher for Settings {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

fn seal(digest: &str, code: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(digest)
        .chain_update(code)
        .finalize()
        .into()
}

fn unseal<'a>(entry: &'a [u8], digest: &str) -> Option<&'a [u8]> {
    let rest = entry.strip_prefix(MAGIC)?;
    let (sum, code) = rest.split_at_checked(32)?;
    (sum == seal(digest, code)).then_some(code)
}

/// True if the folder is a real folder, this user's, and closed to everybody else.
fn is_private(folder: &Path) -> bool {
    let Ok(meta) = fs::symlink_metadata(folder) else {
        return false;
    };
    // The owner of a file that this process makes is its effective user.
    let user = fs::metadata("/proc/self").map(|own| own.uid());
    meta.is_dir() && meta.mode() & 0o077 == 0 && user.is_ok_and(|user| user == meta.uid())
}

//! How the engine is set up, and what commands find in their environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::flatten::DEEP;
use crate::error::VmError;
use crate::image::ImagesConfig;

/// Settings of a [`SandboxEngine`](super::SandboxEngine).
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// The state folder, as for [`StateDir::open`](crate::StateDir::open).
    pub state_dir: PathBuf,
    /// The program and arguments that call [`spawner_main`](super::spawner_main).
    pub spawner: Vec<OsString>,
    /// Host folders that machines see, read-only and at their own path; their `bin`
    /// folders come first on `PATH`. Absolute. What is not there is left out. To Cargo's
    /// caches machines add in layers of their own; the host's folders are never changed.
    pub exposed: Vec<PathBuf>,
    /// Host folders that machines do not see in any case, beside homes, sockets and
    /// credentials: the user's own home, say, where that is not under `/home`. Absolute.
    pub hidden: Vec<PathBuf>,
    /// Whether root inside shall be nobody outside where this runs as root and the kernel
    /// has what that takes. What holds is told by [`probes`](super::probes).
    pub map_ids: bool,
    /// Layers from which on a chain's are put together in the background.
    pub deep: usize,
    /// How images are had.
    pub images: ImagesConfig,
}

impl SandboxConfig {
    /// Returns settings that start this program itself, with `__sandbox`, as spawner and
    /// lend nothing.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            spawner: vec!["/proc/self/exe".into(), "__sandbox".into()],
            exposed: Vec::new(),
            hidden: Vec::new(),
            map_ids: true,
            deep: DEEP,
            images: ImagesConfig::default(),
        }
    }
}

/// Returns the folders of a home that are lent unless the user says otherwise: where
/// toolchains live (decisions, "`host` image and the user's toolchain").
pub fn default_exposed(home: &Path) -> Vec<PathBuf> {
    [
        ".cargo/bin",
        ".cargo/registry",
        ".rustup",
        ".pyenv",
        ".nvm",
        ".local/bin",
    ]
    .iter()
    .map(|name| home.join(name))
    .filter(|folder| folder.is_dir())
    .collect()
}

/// Refuses to lend what holds credentials.
pub(super) fn check_exposed(exposed: &[PathBuf]) -> Result<(), VmError> {
    const SECRET: [&str; 9] = [
        ".ssh",
        ".gnupg",
        ".aws",
        ".azure",
        ".kube",
        ".docker",
        ".netrc",
        ".password-store",
        "gcloud",
    ];
    for folder in exposed {
        let secret = folder
            .components()
            .any(|part| SECRET.iter().any(|name| part.as_os_str() == *name));
        if secret || !folder.is_absolute() || folder.parent().is_none() {
            let why = if secret {
                "holds credentials"
            } else {
                "is not an absolute path below the root"
            };
            return Err(VmError::Unavailable {
                cause: format!("{} {why} and cannot be lent to machines", folder.display()),
                remedy: "take it out of `expose` under `[host]` in the configuration".to_owned(),
            });
        }
    }
    Ok(())
}

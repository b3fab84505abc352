//! The VM subsystem with the engine and the folders that the configuration names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hm_vm::sandbox::{SandboxConfig, SandboxEngine, default_exposed};
use hm_vm::{StateDir, Subsystem, SubsystemConfig, VmError};

use crate::config::{Folders, Settings};
use crate::failure::{Exit, Failure};

/// Opens the subsystem. Called on a thread of the runtime, it lets the engine start what the
/// first machine needs, while the backend is being loaded.
///
/// # Errors
/// Exit 4 with the remedy: the state folder, or the engine, cannot be used.
pub(super) fn open(folders: &Folders, settings: &Settings) -> Result<Subsystem, Failure> {
    let state = state(folders)?;
    let engine = engine(&state, settings)?;
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let engine = engine.clone();
        // What goes wrong is told by the first machine, which tries again.
        runtime.spawn(async move { drop(engine.warm().await) });
    }
    subsystem(state, settings, engine)
}

/// Opens the subsystem for work on what is kept; nothing is started for it.
///
/// # Errors
/// Exit 4 with the remedy: the state folder, or the engine, cannot be used.
pub(crate) fn cache(folders: &Folders, settings: &Settings) -> Result<Subsystem, Failure> {
    let state = state(folders)?;
    let engine = engine(&state, settings)?;
    subsystem(state, settings, engine)
}

fn engine(state: &StateDir, settings: &Settings) -> Result<Arc<SandboxEngine>, Failure> {
    let engine = SandboxEngine::open(sandbox(state.root(), settings)).map_err(vm_failure)?;
    Ok(Arc::new(engine))
}

fn subsystem(
    state: StateDir,
    settings: &Settings,
    engine: Arc<SandboxEngine>,
) -> Result<Subsystem, Failure> {
    let mut config = SubsystemConfig::new(state, engine);
    if let Some(bytes) = settings.cache_bytes() {
        config.cache_bytes = bytes;
    }
    Subsystem::open(config).map_err(vm_failure)
}

/// Returns how the engine is set up.
pub(crate) fn sandbox(state: &Path, settings: &Settings) -> SandboxConfig {
    let mut config = SandboxConfig::new(state);
    config.exposed = exposed(settings);
    config.hidden = home().into_iter().collect();
    config
}

/// Opens the state folder.
///
/// # Errors
/// Exit 4 with the remedy.
pub(crate) fn state(folders: &Folders) -> Result<StateDir, Failure> {
    StateDir::open(&folders.state.path).map_err(vm_failure)
}

/// Returns the folders that are lent to machines.
pub(crate) fn exposed(settings: &Settings) -> Vec<PathBuf> {
    settings.expose().unwrap_or_else(|| {
        home()
            .map(|home| default_exposed(&home))
            .unwrap_or_default()
    })
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute() && home.parent().is_some())
}

/// Takes over an error of the subsystem.
pub(crate) fn vm_failure(error: VmError) -> Failure {
    let remedy = error.remedy();
    let failure = Failure::new(Exit::Unavailable, error);
    match remedy {
        Some(remedy) => failure.hint(remedy),
        None => failure,
    }
}

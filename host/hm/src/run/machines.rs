//! The VM subsystem with the engine and the folders that the configuration names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hm_vm::image::{ImagesConfig, Proxies, Registries};
use hm_vm::sandbox::{SandboxConfig, SandboxEngine, default_exposed};
use hm_vm::{StateDir, Subsystem, SubsystemConfig, VmError};

use crate::config::{Folders, Settings};
use crate::docker_login;
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

/// Opens the sandbox engine, for work on its images, and the subsystem around it.
///
/// # Errors
/// Exit 4 with the remedy: the state folder cannot be used.
pub(crate) fn images(
    folders: &Folders,
    settings: &Settings,
) -> Result<(Arc<SandboxEngine>, Subsystem), Failure> {
    let state = state(folders)?;
    let engine = engine(&state, settings)?;
    let subsystem = subsystem(state, settings, engine.clone())?;
    Ok((engine, subsystem))
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
    config.images = ImagesConfig {
        registries: Registries {
            options: settings.registries(),
            credentials: Some(Arc::new(docker_login::find)),
            proxies: proxies(),
        },
        limits: settings.image_limits(),
    };
    config
}

/// Reads the variables that programs agree on.
fn proxies() -> Proxies {
    let read = |names: [&str; 2]| {
        names
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    };
    Proxies {
        http: read(["http_proxy", "HTTP_PROXY"]),
        https: read(["https_proxy", "HTTPS_PROXY"]),
        none: read(["no_proxy", "NO_PROXY"]),
    }
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

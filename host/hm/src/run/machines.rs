//! The VM subsystem with the engine and the folders that the configuration names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hm_vm::docker::{DockerConfig, DockerEngine, Endpoint, Surroundings};
use hm_vm::image::{ImagesConfig, Proxies, Registries};
use hm_vm::sandbox::{SandboxConfig, SandboxEngine, default_exposed};
use hm_vm::{StateDir, Subsystem, SubsystemConfig, VmBackend, VmError};

use super::automatic;
use crate::config::{Folders, Settings};
use crate::docker_login;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// What makes machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineName {
    /// Namespaces and overlays of this machine's kernel.
    Sandbox,
    /// Containers of a Docker daemon.
    Docker,
}

impl EngineName {
    /// All there are, the one that is used where nobody chose first.
    pub(crate) const ALL: [Self; 2] = [Self::Sandbox, Self::Docker];

    /// Returns the engine that the configuration names, or what `auto` last meant.
    pub(crate) fn chosen(folders: &Folders, settings: &Settings) -> Self {
        Self::named(settings).unwrap_or_else(|| match state(folders) {
            Ok(state) => automatic::last(&state),
            Err(_) => Self::Sandbox,
        })
    }

    /// Returns the engine that the configuration names; none for `auto`.
    fn named(settings: &Settings) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|engine| engine.name() == settings.engine())
    }

    /// Returns its name in the configuration, in keys and in events.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Docker => "docker",
        }
    }
}

/// Opens the subsystem. Called on a thread of the runtime where it may block, it lets the
/// engine start what the first machine needs, while the backend is being loaded. Where `auto`
/// may mean docker, `told` is told so; for who was granted machines of the sandbox it is the
/// sandbox.
///
/// # Errors
/// Exit 4 with the remedy: the state folder, or the engine, cannot be used.
pub(super) fn open(
    folders: &Folders,
    settings: &Settings,
    told: Option<&Terminal>,
) -> Result<Subsystem, Failure> {
    let state = state(folders)?;
    let runtime = tokio::runtime::Handle::current();
    let named = EngineName::named(settings);
    if named == Some(EngineName::Docker) {
        let engine = docker_engine(&state).map_err(vm_failure)?;
        return started(&runtime, state, settings, engine.clone(), async move {
            engine.warm().await
        });
    }
    let engine = sandbox_engine(&state, settings)?;
    if let (None, Some(terminal)) = (named, told) {
        let docker = docker_engine(&state);
        let chosen = automatic::choose(&state, &engine, docker.as_ref(), terminal);
        if let (EngineName::Docker, Ok(docker)) = (runtime.block_on(chosen), docker) {
            return subsystem(state, settings, docker);
        }
    }
    started(&runtime, state, settings, engine.clone(), async move {
        engine.warm().await
    })
}

/// Lets an engine begin. What goes wrong is told by the first machine, which tries again.
fn started(
    runtime: &tokio::runtime::Handle,
    state: StateDir,
    settings: &Settings,
    engine: Arc<dyn VmBackend>,
    warm: impl Future<Output = Result<(), VmError>> + Send + 'static,
) -> Result<Subsystem, Failure> {
    runtime.spawn(async move { drop(warm.await) });
    subsystem(state, settings, engine)
}

/// Opens the subsystem for work on what is kept; nothing is started for it.
///
/// # Errors
/// Exit 4 with the remedy: the state folder, or the engine, cannot be used.
pub(crate) fn cache(
    folders: &Folders,
    settings: &Settings,
    engine: EngineName,
) -> Result<Subsystem, Failure> {
    let state = state(folders)?;
    let engine: Arc<dyn VmBackend> = match engine {
        EngineName::Sandbox => sandbox_engine(&state, settings)?,
        EngineName::Docker => docker_engine(&state).map_err(vm_failure)?,
    };
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
    let engine = sandbox_engine(&state, settings)?;
    let subsystem = subsystem(state, settings, engine.clone())?;
    Ok((engine, subsystem))
}

fn sandbox_engine(state: &StateDir, settings: &Settings) -> Result<Arc<SandboxEngine>, Failure> {
    let engine = SandboxEngine::open(sandbox(state.root(), settings)).map_err(vm_failure)?;
    Ok(Arc::new(engine))
}

fn docker_engine(state: &StateDir) -> Result<Arc<DockerEngine>, VmError> {
    Ok(Arc::new(DockerEngine::open(docker(state.root())?)?))
}

fn subsystem(
    state: StateDir,
    settings: &Settings,
    engine: Arc<dyn VmBackend>,
) -> Result<Subsystem, Failure> {
    let mut config = SubsystemConfig::new(state, engine);
    if let Some(bytes) = settings.cache_bytes() {
        config.cache_bytes = bytes;
    }
    Subsystem::open(config).map_err(vm_failure)
}

/// Returns how the docker engine is set up: by the variables that Docker's own client reads.
///
/// # Errors
/// [`VmError::Unavailable`] if they name a daemon that cannot be used.
pub(crate) fn docker(state: &Path) -> Result<DockerConfig, VmError> {
    let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let path = |name: &str| text(name).map(PathBuf::from);
    let endpoint = Endpoint::find(&Surroundings {
        docker_host: text("DOCKER_HOST"),
        docker_context: text("DOCKER_CONTEXT"),
        docker_config: path("DOCKER_CONFIG").or_else(|| home().map(|home| home.join(".docker"))),
        runtime_dir: path("XDG_RUNTIME_DIR"),
        wants_tls: text("DOCKER_TLS_VERIFY").is_some(),
    })?;
    Ok(DockerConfig {
        state_dir: state.to_owned(),
        endpoint,
        sends_source: false,
    })
}

/// Returns how the sandbox engine is set up.
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

//! Which backend runs the build, and with what it is allowed to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hm_exec::{
    BackendError, CodeCache, ExecutionBackend, HttpNetwork, HttpProxy, ImageMap, ImagePolicy,
    LimitHit, Limits, LoadError, LocalBackend, Pattern, Runtime, RuntimeConfig, VmGrant,
};
use hm_plugin_protocol::{Network, Plan};
use hm_vm::{MachineOptions, Subsystem};

use super::cloud::CloudChoice;
use super::machines;
use crate::config::{Folders, Origin, Settings};
use crate::consent::LimitValue;
use crate::failure::{Exit, Failure, nearest};
use crate::terminal::Terminal;

/// A backend by what the user called it.
#[derive(Debug, Clone)]
pub(crate) enum Choice {
    /// The built-in scheduler.
    Local,
    /// Harmont's cloud.
    Cloud(CloudChoice),
    /// A component of somebody else.
    Stranger(Stranger),
}

/// A component of somebody else.
#[derive(Debug, Clone)]
pub(crate) struct Stranger {
    /// For events and messages.
    pub(crate) name: String,
    /// As typed, or as the configuration has it.
    pub(crate) file: PathBuf,
    /// What it is handed.
    pub(crate) settings: Vec<(String, String)>,
    /// Which of these the repository chose.
    pub(crate) from_repository: Vec<(String, String)>,
    /// True if the repository chose the component too.
    pub(crate) is_repositorys: bool,
    /// Places that the configuration asks for, and which file does.
    pub(crate) http: Vec<(String, Origin)>,
}

impl Stranger {
    /// Returns the places that the configuration asks for.
    pub(crate) fn patterns(&self) -> Vec<String> {
        self.http
            .iter()
            .map(|(pattern, _)| pattern.clone())
            .collect()
    }
}

/// A backend that can start a build.
pub(super) struct Ready {
    /// The backend.
    pub(super) backend: Box<dyn ExecutionBackend>,
    /// Digest of a stranger.
    pub(super) digest: Option<String>,
    /// Where machines come from, if the backend may have any.
    pub(super) subsystem: Option<Arc<Subsystem>>,
}

impl Ready {
    /// Ends all that it needed: when the process ends, nothing of it is left behind.
    pub(super) async fn close(self) {
        drop(self.backend);
        if let Some(subsystem) = self.subsystem {
            subsystem.settle().await;
            subsystem.engine().close().await;
        }
    }
}

impl Choice {
    /// Finds the backend that the configuration and the flags name.
    ///
    /// # Errors
    /// Usage, for a name that means nothing here.
    pub(crate) fn find(settings: &Settings) -> Result<Self, Failure> {
        if let Some(engine) = settings.contradicting_engine() {
            return Err(Failure::usage(format!(
                "`--backend docker` stands for `--backend local --engine docker`, and `--engine {engine}` \
                 says otherwise"
            ))
            .hint("give one of the two"));
        }
        let (name, origin) = settings.backend();
        Self::named(name, settings).map_err(|failure| match origin {
            crate::config::Origin::Flag(_) | crate::config::Origin::Default => failure,
            origin => failure.hint(format!("`backend` is set by {origin}")),
        })
    }

    /// Returns true for a look at a build that is there already.
    pub(super) fn is_attached(&self) -> bool {
        matches!(self, Self::Cloud(choice) if choice.attach.is_some())
    }

    /// Finds a backend by name, or by the path of a component.
    ///
    /// # Errors
    /// Usage, for a name that means nothing here.
    pub(crate) fn named(name: &str, settings: &Settings) -> Result<Self, Failure> {
        match name {
            // `docker` is `local` with another engine, see `Settings::engine`.
            "local" | "docker" => return Ok(Self::Local),
            "cloud" => return Ok(Self::Cloud(CloudChoice::default())),
            _ => {}
        }
        if let Some(found) = settings.named_backend(name)? {
            return Ok(Self::Stranger(Stranger {
                name: name.to_owned(),
                file: found.file,
                settings: found.settings,
                from_repository: found.from_repository,
                http: checked(name, found.http)?,
                is_repositorys: found.is_repositorys,
            }));
        }
        let file = Path::new(name);
        if name.contains('/')
            || file
                .extension()
                .is_some_and(|extension| extension == "wasm")
        {
            let stem = file.file_stem().map_or_else(
                || name.to_owned(),
                |stem| stem.to_string_lossy().into_owned(),
            );
            return Ok(Self::Stranger(Stranger {
                name: hm_render::clean_line(&stem).into_owned(),
                file: file.to_owned(),
                settings: Vec::new(),
                from_repository: Vec::new(),
                http: Vec::new(),
                is_repositorys: false,
            }));
        }
        let declared = settings.backend_names();
        let known = declared
            .iter()
            .map(String::as_str)
            .chain(["local", "docker", "cloud"]);
        let failure = Failure::usage(format!(
            "there is no backend `{}`",
            hm_render::clean_line(name)
        ));
        Err(match nearest(name, known) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint(
                "`hm backend list` shows all; a component is given by its path, as `./NAME.wasm`",
            ),
        })
    }

    /// Returns the backend's name in events and messages.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Local => "local",
            Self::Cloud(_) => "cloud",
            Self::Stranger(stranger) => &stranger.name,
        }
    }

    /// Returns the places that the configuration asks for, and which file does.
    pub(crate) fn http(&self) -> Vec<(String, Origin)> {
        match self {
            Self::Local | Self::Cloud(_) => Vec::new(),
            Self::Stranger(stranger) => stranger.http.clone(),
        }
    }

    /// Returns what the backend is handed from the configuration.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        match self {
            Self::Local | Self::Cloud(_) => Vec::new(),
            Self::Stranger(stranger) => stranger.settings.clone(),
        }
    }
}

/// What making a backend ready depends on.
pub(super) struct Surroundings<'a> {
    pub(super) folders: &'a Folders,
    pub(super) settings: &'a Settings,
    pub(super) root: &'a Path,
    pub(super) plan: &'a Plan,
    pub(super) terminal: &'a Terminal,
}

/// Sets up the engine for components, with the cache of compiled code.
///
/// # Errors
/// The engine does not work on this machine, or the configuration has limits that are none.
pub(crate) fn runtime(folders: &Folders, settings: &Settings) -> Result<Arc<Runtime>, Failure> {
    let config = RuntimeConfig {
        code_cache: Some(CodeCache::new(folders.components(), folders.seal_key())),
        limits: limits(settings)?,
        ..RuntimeConfig::default()
    };
    Runtime::new(config).map_err(load_failure)
}

/// Returns the limits of components, as the user's configuration has them.
///
/// # Errors
/// Usage: a limit that is none, or a value that is no amount of what it counts.
pub(crate) fn limits(settings: &Settings) -> Result<Limits, Failure> {
    let mut limits = Limits::default();
    for (name, value, origin) in settings.limits() {
        LimitValue::from(value.as_str())
            .apply(&name, &mut limits)
            .map_err(|problem| Failure::usage(format!("{problem}\nit is set by {origin}")))?;
    }
    Ok(limits)
}

/// Loads the backend, asks the user where that is needed, and gives it what is granted.
/// Blocks: for compiling, and for the user.
///
/// # Errors
/// No component, no consent (exit 6), no machines (exit 4).
pub(super) fn prepare(choice: &Choice, surroundings: &Surroundings<'_>) -> Result<Ready, Failure> {
    let network = surroundings
        .settings
        .network()
        .and_then(|(word, _)| network(word));
    match choice {
        Choice::Local => {
            // Before the component: what the first machine needs starts meanwhile.
            let reach = network.unwrap_or(Network::Host);
            let machine = surroundings.settings.machine(MachineOptions::default());
            let told = Some(surroundings.terminal);
            let begun = machines::open(surroundings.folders, surroundings.settings, told)?;
            let begun = Arc::new(begun);
            let subsystem = Some(begun.clone());
            let vm = surroundings.vm(reach, machine, true, ImagePolicy::of_plan(), begun);
            let backend = runtime(surroundings.folders, surroundings.settings)
                .and_then(|runtime| LocalBackend::new(&runtime, vm).map_err(load_failure))
                .map_err(|failure| undone(failure, subsystem.as_deref()))?;
            Ok(Ready {
                backend: Box::new(backend),
                digest: None,
                subsystem,
            })
        }
        Choice::Cloud(choice) => super::cloud::prepare(choice, surroundings),
        Choice::Stranger(stranger) => surroundings.stranger(stranger, network),
    }
}

/// Takes back what was started for a backend that cannot be had after all.
pub(super) fn undone(failure: Failure, subsystem: Option<&Subsystem>) -> Failure {
    if let Some(subsystem) = subsystem {
        tokio::runtime::Handle::current().block_on(async {
            subsystem.settle().await;
            subsystem.engine().close().await;
        });
    }
    failure
}

impl Surroundings<'_> {
    /// Lends machines.
    pub(super) fn vm(
        &self,
        network: Network,
        machine: MachineOptions,
        exec: bool,
        allowed: ImagePolicy,
        subsystem: Arc<Subsystem>,
    ) -> VmGrant {
        let network = match network {
            Network::None => hm_vm::Network::None,
            Network::Public => hm_vm::Network::Public,
            Network::Host => hm_vm::Network::Host,
        };
        VmGrant {
            subsystem,
            images: ImageMap::new(self.settings.images()),
            allowed,
            exec,
            machine: MachineOptions { network, ..machine },
        }
    }
}

/// Returns the name of the engine that would make machines now.
pub(crate) fn engine_name(settings: &Settings) -> &str {
    match settings.engine() {
        "auto" => "sandbox",
        name => name,
    }
}

/// Checks the patterns that the configuration asks for.
fn checked(name: &str, patterns: Vec<(String, Origin)>) -> Result<Vec<(String, Origin)>, Failure> {
    let check = |(text, origin): (String, Origin)| match text.parse::<Pattern>() {
        Ok(pattern) => Ok((pattern.to_string(), origin)),
        Err(error) => Err(Failure::usage(format!(
            "{origin}: `backends.{name}.request.http`: {error}"
        ))),
    };
    patterns.into_iter().map(check).collect()
}

/// Returns the network of a word.
pub(crate) fn network(word: &str) -> Option<Network> {
    match word {
        "none" => Some(Network::None),
        "public" => Some(Network::Public),
        "host" => Some(Network::Host),
        _ => None,
    }
}

/// Takes over an error about a component.
pub(crate) fn load_failure(error: LoadError) -> Failure {
    load_failure_of(error, None)
}

pub(super) fn load_failure_of(error: LoadError, digest: Option<&str>) -> Failure {
    backend_failure(BackendError::Load(error), digest)
}

/// Takes over an error of a backend; of a stranger's with its digest.
pub(super) fn backend_failure(error: BackendError, digest: Option<&str>) -> Failure {
    let remedy = error.remedy();
    let raised = error.limit().and_then(LimitHit::raised);
    let failure = Failure::new(Exit::from_code(error.exit_code()), error);
    let failure = match remedy {
        Some(remedy) => failure.hint(remedy),
        None => failure,
    };
    match (raised, digest) {
        (Some(raised), Some(digest)) => {
            failure.hint(format!("hm backend grant {digest} --limit {raised}"))
        }
        (Some(raised), None) => failure.hint(format!(
            "set `{}` under [limits] in your own configuration",
            raised.replacen('=', " = ", 1)
        )),
        (None, _) => failure,
    }
}

/// Returns how requests of backends leave this machine.
pub(super) fn http_network(settings: &Settings) -> Result<HttpNetwork, Failure> {
    let network = HttpNetwork::default();
    match settings.proxy() {
        None => Ok(network),
        Some((proxy, direct)) => HttpProxy::new(proxy, direct)
            .map(|proxy| network.proxy(proxy))
            .map_err(|error| Failure::usage(format!("`http.proxy`: {error}"))),
    }
}

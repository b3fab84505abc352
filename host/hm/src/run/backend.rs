//! Which backend runs the build, and with what it is allowed to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hm_exec::{
    BackendError, ComponentBackend, ComponentSource, ExecutionBackend, Grants, HttpNetwork,
    HttpProxy, ImageMap, Inspection, Interface, LoadError, LocalBackend, Pattern, Runtime,
    RuntimeConfig, SourceGrant, VmGrant,
};
use hm_plugin_protocol::{Network, Plan};
use hm_vm::{MachineOptions, Subsystem};

use super::machines;
use crate::config::{Folders, Origin, Settings};
use crate::consent::{self, Answer, Credentials, Grant, GrantFile, Need};
use crate::failure::{Exit, Failure, nearest};
use crate::terminal::Terminal;

/// A backend by what the user called it.
#[derive(Debug, Clone)]
pub(crate) enum Choice {
    /// The built-in scheduler.
    Local,
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
        let (name, origin) = settings.backend();
        Self::named(name, settings).map_err(|failure| match origin {
            crate::config::Origin::Flag(_) | crate::config::Origin::Default => failure,
            origin => failure.hint(format!("`backend` is set by {origin}")),
        })
    }

    /// Finds a backend by name, or by the path of a component.
    ///
    /// # Errors
    /// Usage, for a name that means nothing here.
    pub(crate) fn named(name: &str, settings: &Settings) -> Result<Self, Failure> {
        match name {
            "local" => return Ok(Self::Local),
            "docker" | "cloud" => {
                return Err(Failure::usage(format!("the backend `{name}` is not part of this version of hm"))
                    .hint("`--backend local` runs the pipeline on this machine; `--image '*=host'` with its own tools"));
            }
            _ => {}
        }
        if let Some(found) = settings.named_backend(name)? {
            return Ok(Self::Stranger(Stranger {
                name: name.to_owned(),
                file: found.file,
                settings: found.settings,
                from_repository: found.from_repository,
                http: checked(name, found.http)?,
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
            }));
        }
        let declared = settings.backend_names();
        let known = declared.iter().map(String::as_str).chain(["local"]);
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
            Self::Stranger(stranger) => &stranger.name,
        }
    }

    /// Returns the places that the configuration asks for, and which file does.
    pub(crate) fn http(&self) -> Vec<(String, Origin)> {
        match self {
            Self::Local => Vec::new(),
            Self::Stranger(stranger) => stranger.http.clone(),
        }
    }

    /// Returns what the backend is handed from the configuration.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        match self {
            Self::Local => Vec::new(),
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
/// The engine does not work on this machine.
pub(crate) fn runtime(folders: &Folders) -> Result<Arc<Runtime>, Failure> {
    let config = RuntimeConfig {
        code_cache: Some(folders.components()),
        ..RuntimeConfig::default()
    };
    Runtime::new(config).map_err(load_failure)
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
            let machine = MachineOptions::default();
            let vm = surroundings.vm(network.unwrap_or(Network::Host), machine, true)?;
            let runtime = runtime(surroundings.folders)?;
            let subsystem = Some(vm.subsystem.clone());
            let backend = LocalBackend::new(&runtime, vm).map_err(load_failure)?;
            Ok(Ready {
                backend: Box::new(backend),
                digest: None,
                subsystem,
            })
        }
        Choice::Stranger(stranger) => {
            let runtime = runtime(surroundings.folders)?;
            let loaded = runtime
                .load(&ComponentSource::File(stranger.file.clone()))
                .map_err(load_failure)?;
            let grant = surroundings.consent(stranger, loaded.inspection(), network)?;
            let grants = surroundings.grants(loaded.inspection(), &grant, network)?;
            let subsystem = grants.vm.as_ref().map(|vm| vm.subsystem.clone());
            let backend = ComponentBackend::new(&runtime, stranger.name.clone(), &loaded, grants)
                .map_err(load_failure)?;
            Ok(Ready {
                backend: Box::new(backend),
                digest: Some(loaded.inspection().digest.clone()),
                subsystem,
            })
        }
    }
}

impl Surroundings<'_> {
    fn vm(
        &self,
        network: Network,
        machine: MachineOptions,
        exec: bool,
    ) -> Result<VmGrant, Failure> {
        let network = match network {
            Network::None => hm_vm::Network::None,
            Network::Public => hm_vm::Network::Public,
            Network::Host => hm_vm::Network::Host,
        };
        let machine = self.settings.machine(machine);
        Ok(VmGrant {
            subsystem: Arc::new(machines::open(self.folders, self.settings)?),
            images: ImageMap::new(self.settings.images()),
            exec,
            machine: MachineOptions { network, ..machine },
        })
    }

    /// Returns what the component imports of what was granted, and no more.
    fn grants(
        &self,
        inspection: &Inspection,
        grant: &Grant,
        network: Option<Network>,
    ) -> Result<Grants, Failure> {
        let asks = |interface| inspection.asks.contains(&interface);
        let vm = if asks(Interface::Vm) {
            // What a command of the backend's own prints may be the source.
            let may_read = grant.has(Interface::Source.name());
            let machine = MachineOptions::for_strangers();
            Some(self.vm(network.unwrap_or(grant.network()), machine, may_read)?)
        } else {
            None
        };
        let source = match &vm {
            _ if !asks(Interface::Source) => None,
            Some(vm) => Some(vm.subsystem.state().clone()),
            None => Some(machines::state(self.folders)?),
        };
        let http = match &grant.http {
            Some(reach) if asks(Interface::Http) => {
                let credentials = Credentials::read(self.folders);
                Some(reach.grant(&inspection.digest, &credentials, self.http_network()?)?)
            }
            _ => None,
        };
        Ok(Grants {
            vm,
            source: source.map(|state| SourceGrant { state }),
            http,
            secrets: grant.secrets.iter().cloned().collect(),
        })
    }

    fn http_network(&self) -> Result<HttpNetwork, Failure> {
        let network = HttpNetwork::default();
        match self.settings.proxy() {
            None => Ok(network),
            Some((proxy, direct)) => HttpProxy::new(proxy, direct)
                .map(|proxy| network.proxy(proxy))
                .map_err(|error| Failure::usage(format!("`http.proxy`: {error}"))),
        }
    }

    /// Returns the grant that holds for this run.
    fn consent(
        &self,
        stranger: &Stranger,
        inspection: &Inspection,
        network: Option<Network>,
    ) -> Result<Grant, Failure> {
        let steps = self.plan.steps.iter().filter_map(|step| step.network);
        let widest = steps
            .chain(network)
            .max_by_key(|network| consent::reach(*network))
            .unwrap_or(Network::None);
        let need = Need {
            digest: &inspection.digest,
            root: self.root,
            interfaces: inspection
                .asks
                .iter()
                .map(|interface| interface.name())
                .collect(),
            network: widest,
            settings: consent::settings_digest(&stranger.from_repository),
            http: stranger.patterns(),
        };
        let mut grants = GrantFile::read(self.folders)?;
        let refusal = match grants.covering(&need) {
            Ok(grant) => return Ok(grant.clone()),
            Err(refusal) => refusal,
        };
        let story = super::question::story(stranger, inspection, &need, refusal);
        if !self.terminal.can_ask {
            return Err(Failure::new(
                Exit::Denied,
                format!("{story}\n(no terminal: hm did not ask)"),
            )
            .hint(consent::command(&need)));
        }
        let mut once = Grant::of(&need, &stranger.name);
        // What was allowed here before stays.
        if let Some(known) = grants.grants().get(need.digest)
            && known.is_for(self.root)
        {
            let more = std::mem::replace(&mut once, known.clone());
            once.add(more);
        }
        match consent::ask(&format!("{story}\n")) {
            Answer::Once => Ok(once),
            Answer::Grant => {
                grants.add(need.digest, Grant::of(&need, &stranger.name));
                grants.write()?;
                Ok(once)
            }
            Answer::No => Err(Failure::new(
                Exit::Denied,
                format!("backend `{}` was not allowed to run", stranger.name),
            )
            .hint(consent::command(&need))),
        }
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
    backend_failure(BackendError::Load(error))
}

/// Takes over an error of a backend.
pub(super) fn backend_failure(error: BackendError) -> Failure {
    let remedy = error.remedy();
    let failure = Failure::new(Exit::from_code(error.exit_code()), error);
    match remedy {
        Some(remedy) => failure.hint(remedy),
        None => failure,
    }
}

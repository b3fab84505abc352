//! The engine itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::address::Endpoint;
use super::chores::Chores;
use super::daemon::Daemon;
use super::image::{Image, Images};
use super::labels::Labels;
use super::layer::{self, DockerSnapshot, Doomed, Foundation, Kind, Layer};
use super::machine::DockerMachine;
use super::network::PublicNetwork;
use super::source::{Sources, Way};
use super::workspace::FOLDER;
use super::{reap, size};
use crate::backend::{
    Base, BootSpec, LayerRecord, Machine, Network, Progress, Snapshot, SnapshotRecord, Support,
    VmBackend,
};
use crate::error::VmError;
use crate::state::{Instance, StateDir, reap_instances};

/// The engine's name.
pub(super) const NAME: &str = "docker";

/// Settings of a [`DockerEngine`].
#[derive(Debug, Clone)]
pub struct DockerConfig {
    /// The state folder, as for [`StateDir::open`].
    pub state_dir: PathBuf,
    /// Where the daemon is.
    pub endpoint: Endpoint,
    /// Sends the source in any case, without finding out whether the daemon sees this
    /// machine's files.
    pub sends_source: bool,
}

/// Machines by a Docker daemon. See the [module](super).
#[derive(Debug)]
pub struct DockerEngine {
    endpoint: Endpoint,
    state: StateDir,
    core: Mutex<Option<Arc<Core>>>,
    images: Images,
    sources: Sources,
    is_closed: AtomicBool,
}

/// What everything that is made at the daemon shares, from the first call on.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) daemon: Daemon,
    pub(super) state: StateDir,
    pub(super) chores: Chores,
    pub(super) labels: Labels,
    pub(super) instance: Instance,
    pub(super) network: PublicNetwork,
    pub(super) doomed: Doomed,
}

impl DockerEngine {
    /// Opens the engine. The daemon is not asked for anything before it is needed, or
    /// [`DockerEngine::warm`].
    ///
    /// # Errors
    /// [`VmError::Unavailable`] where the state folder cannot be used.
    pub fn open(config: DockerConfig) -> Result<Self, VmError> {
        let state = StateDir::open(&config.state_dir)?;
        Ok(Self {
            endpoint: config.endpoint,
            state,
            core: Mutex::new(None),
            images: Images::default(),
            sources: Sources::new(config.sends_source),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Connects to the daemon, and asks it for what it can do.
    ///
    /// # Errors
    /// [`VmError::Unavailable`] with cause and remedy where it cannot be used.
    pub async fn warm(&self) -> Result<(), VmError> {
        self.core().await.map(drop)
    }

    pub(super) async fn core(&self) -> Result<Arc<Core>, VmError> {
        let mut core = self.core.lock().await;
        if let Some(core) = core.as_ref() {
            return Ok(Arc::clone(core));
        }
        if self.is_closed.load(Ordering::Acquire) {
            return Err(VmError::Other("the docker engine was closed".to_owned()));
        }
        let daemon = Daemon::connect(&self.endpoint).await?;
        let instance = Instance::take(&self.state)?;
        let new = Arc::new(Core {
            daemon,
            state: self.state.clone(),
            chores: Chores::new(),
            labels: Labels::new(&self.state, &instance.name),
            instance,
            network: PublicNetwork::default(),
            doomed: Doomed::default(),
        });
        *core = Some(Arc::clone(&new));
        Ok(new)
    }

    /// The daemon for what needs no instance.
    async fn daemon(&self) -> Result<Daemon, VmError> {
        if let Some(core) = self.core.lock().await.as_ref() {
            return Ok(core.daemon.clone());
        }
        Daemon::connect(&self.endpoint).await
    }

    /// How the daemon gets at this machine's files; found out with any image that it has.
    pub(super) async fn way(&self, image: &str) -> Result<Way, VmError> {
        let core = self.core().await?;
        self.sources.way(&core, image).await
    }

    async fn flavour(&self, foundation: &Foundation, core: &Arc<Core>) -> Result<String, VmError> {
        let lowest = self
            .sources
            .lowest(core, &Arc::from([]), &foundation.reference())
            .await?;
        Ok(flavour(lowest.is_user_flavour).to_owned())
    }

    /// Finds the layers of a record, if they are all there.
    async fn found(
        &self,
        core: &Arc<Core>,
        record: &SnapshotRecord,
    ) -> Result<Option<Foundation>, VmError> {
        let daemon = &core.daemon;
        let (mut commits, mut uppers) = (Vec::new(), Vec::new());
        let mut volumes: BTreeMap<String, Vec<Arc<Layer>>> = BTreeMap::new();
        for layer in &record.layers {
            let Some((kind, name, folder)) = Layer::parse(&layer.id) else {
                return Ok(None);
            };
            let place = match kind {
                Kind::Image => PathBuf::new(),
                Kind::Volume => match daemon.docker.inspect_volume(name).await {
                    Ok(volume) => PathBuf::from(volume.mountpoint),
                    Err(error) if super::failure::is_absent(&error) => return Ok(None),
                    Err(error) => return Err(daemon.failed("look for a volume")(error)),
                },
            };
            let layer = Layer::kept(core, kind, name.to_owned(), place, layer.bytes);
            let layer = Arc::new(layer.at(&folder));
            match (kind, folder.as_str()) {
                (Kind::Image, _) => commits.push(layer),
                (Kind::Volume, FOLDER) => uppers.push(layer),
                (Kind::Volume, _) => volumes.entry(folder).or_default().push(layer),
            }
        }
        let image = match &record.image {
            Some(image) => Image::inspect(daemon, image)
                .await
                .map_err(daemon.failed("look for an image"))?,
            None => None,
        };
        let Some(image) = image.map(Arc::new) else {
            return Ok(None);
        };
        let foundation = Foundation {
            image,
            commits,
            uppers,
            volumes,
        };
        if !foundation.commits.is_empty() {
            let top = Image::inspect(daemon, &foundation.reference())
                .await
                .map_err(daemon.failed("look for an image"))?;
            if top.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(foundation))
    }
}

fn flavour(is_user: bool) -> &'static str {
    if is_user { "docker-user" } else { "docker" }
}

fn own(snapshot: &Arc<dyn Snapshot>) -> Result<&DockerSnapshot, VmError> {
    snapshot
        .as_any()
        .downcast_ref::<DockerSnapshot>()
        .ok_or_else(|| {
            VmError::Other(format!(
                "snapshot {} is not the docker engine's",
                snapshot.id()
            ))
        })
}

#[async_trait]
impl VmBackend for DockerEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn support(&self) -> Support {
        Support {
            isolation: "containers, as the Docker daemon isolates them; they share its kernel"
                .to_owned(),
            images: "any that the daemon has or can pull; not `host`".to_owned(),
            limits: "memory, processors and processes, by the daemon; disk space has none"
                .to_owned(),
            networks: vec![Network::Host, Network::Public, Network::None],
            network_note: Some(
                "`public` is a bridge of its own: what runs on this machine is not on it, and \
                 machines do not reach each other, but private addresses that the daemon's host \
                 can reach are not hidden"
                    .to_owned(),
            ),
        }
    }

    async fn image_id(&self, image: &str, progress: &Progress) -> Result<String, VmError> {
        let core = self.core().await?;
        let found = self.images.get(&core.daemon, image, progress).await?;
        Ok(found.id.clone())
    }

    async fn boot(&self, spec: BootSpec) -> Result<Box<dyn Machine>, VmError> {
        let core = self.core().await?;
        let foundation = match &spec.base {
            Base::Image(image) => {
                let progress = Progress::default();
                Foundation::new(self.images.get(&core.daemon, image, &progress).await?)
            }
            Base::Snapshot(snapshot) => own(snapshot)?.foundation.clone(),
        };
        let lowest = self
            .sources
            .lowest(&core, &spec.source, &foundation.reference())
            .await?;
        Ok(Box::new(DockerMachine::new(
            &core,
            spec.options,
            foundation,
            lowest,
        )))
    }

    async fn keep(&self, snapshot: &Arc<dyn Snapshot>) -> Result<SnapshotRecord, VmError> {
        let found = own(snapshot)?;
        let core = self.core().await?;
        let foundation = &found.foundation;
        size::measure(&core, foundation).await?;
        let mut layers = Vec::new();
        for layer in foundation.layers() {
            layer.keep()?;
            layers.push(LayerRecord {
                id: layer.id(),
                bytes: layer.bytes.get().copied().unwrap_or(0),
            });
        }
        Ok(SnapshotRecord {
            id: found.id.clone(),
            flavour: self.flavour(foundation, &core).await?,
            image: Some(foundation.image.id.clone()),
            layers,
        })
    }

    async fn open(&self, record: &SnapshotRecord) -> Result<Option<Arc<dyn Snapshot>>, VmError> {
        if !["docker", "docker-user"].contains(&record.flavour.as_str()) {
            return Ok(None);
        }
        let core = self.core().await?;
        let Some(foundation) = self.found(&core, record).await? else {
            return Ok(None);
        };
        if self.flavour(&foundation, &core).await? != record.flavour {
            return Ok(None);
        }
        Ok(Some(Arc::new(DockerSnapshot {
            id: record.id.clone(),
            foundation,
        })))
    }

    async fn remove_layers(&self, layers: &[String]) -> Result<(), VmError> {
        let daemon = self.daemon().await?;
        let mut left: Vec<_> = layers
            .iter()
            .filter_map(|id| {
                let (kind, name, _) = Layer::parse(id)?;
                Some((id, (kind, name.to_owned())))
            })
            .collect();
        // An image that others are made of goes after them, and nothing tells the order.
        loop {
            let (before, mut failed) = (left.len(), None);
            let mut still = Vec::new();
            for (id, (kind, name)) in left {
                match layer::remove_once(&daemon, kind, &name).await {
                    Ok(()) => self.state.discard(&self.state.kept_layers().join(id))?,
                    Err(error) => {
                        failed = Some(daemon.failed("remove what was kept")(error));
                        still.push((id, (kind, name)));
                    }
                }
            }
            match failed {
                None => return Ok(()),
                Some(error) if still.len() == before => return Err(error),
                Some(_) => left = still,
            }
        }
    }

    async fn reap(&self) -> Result<usize, VmError> {
        let daemon = self.daemon().await?;
        let gone = reap::reap(&daemon, &self.state).await?;
        Ok(gone + reap_instances(&self.state)?)
    }

    async fn settle(&self) {
        let core = self.core.lock().await.clone();
        if let Some(core) = core {
            core.chores.settle().await;
        }
    }

    async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.sources.forget().await;
        let Some(core) = self.core.lock().await.take() else {
            return;
        };
        core.chores.settle().await;
        core.network.remove(&core).await;
        if let Err(error) = core.state.discard(&core.instance.layers) {
            tracing::debug!(%error, "cannot discard the instance");
        }
        core.state.empty_trash();
    }
}

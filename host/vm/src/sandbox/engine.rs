//! The engine itself.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OnceCell, RwLock};
use uuid::Uuid;

use super::cgroup::{Cgroup, Controller, Means, PerProcess};
use super::config::{SandboxConfig, check_exposed};
use super::disk;
use super::environment::Environment;
use super::fingerprint;
use super::flatten::{DEEPEST, Flattener, Workshop};
use super::instance;
use super::layer::{Layer, SandboxSnapshot};
use super::link::Link;
use super::machine::{Conversation, Remains, SandboxMachine};
use super::network::{self, Connection};
use super::spawner::Spawner;
use super::undertaker::{Doomed, Undertaker};
use super::wire::{self, Boot, FromMachine, Root, Setup};
use crate::backend::{
    Base, BootSpec, LayerRecord, Machine, Network, Progress, Snapshot, SnapshotRecord, Support,
    VmBackend,
};
use crate::error::VmError;
use crate::image::{Flavour, Image, Images};
use crate::state::{Instance, StateDir, io_error};

const NAME: &str = "sandbox";
/// How long the end of the engine waits for somebody who still holds a layer; what is left
/// then is removed at the next start.
const CLOSING: Duration = Duration::from_secs(5);

/// Machines by namespaces and overlayfs. See the [module](super).
#[derive(Debug)]
pub struct SandboxEngine {
    config: SandboxConfig,
    state: StateDir,
    running: Mutex<Option<Arc<Running>>>,
    host_image: OnceCell<String>,
    images: Images,
    /// Held for reading while a machine's layers are opened, for writing while one of
    /// them moves.
    places: Arc<RwLock<()>>,
    flattener: Arc<Flattener>,
    is_closed: AtomicBool,
}

/// What there is from the first machine on.
#[derive(Debug)]
struct Running {
    spawner: Arc<Spawner>,
    /// Where live layers lie.
    live: Arc<Path>,
    /// Lent folders that machines write to.
    caches: Arc<[PathBuf]>,
    name: String,
    undertaker: Undertaker,
    /// Of commands on the host's file system.
    environment: Arc<Environment>,
}

impl SandboxEngine {
    /// Opens the engine. Nothing is started before the first machine, or
    /// [`SandboxEngine::warm`].
    ///
    /// # Errors
    /// [`VmError::Unavailable`] where the state folder cannot be used, or a folder to be
    /// lent holds credentials.
    pub fn open(config: SandboxConfig) -> Result<Self, VmError> {
        check_exposed(&config.exposed)?;
        let state = StateDir::open(&config.state_dir)?;
        let images = Images::open(&state, config.images.clone())?;
        Ok(Self {
            config,
            state,
            running: Mutex::new(None),
            host_image: OnceCell::new(),
            images,
            places: Arc::default(),
            flattener: Flattener::new(),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Starts what the first machine needs, which then boots at once.
    ///
    /// # Errors
    /// [`VmError::Unavailable`] with cause and remedy where machines cannot be had here.
    pub async fn warm(&self) -> Result<(), VmError> {
        self.running().await.map(drop)
    }

    /// Returns what the spawner found to work here.
    pub(super) async fn stage(&self) -> Result<wire::Stage, VmError> {
        Ok(self.running().await?.spawner.stage.clone())
    }

    /// Makes a source layer with one folder, `probe`, which goes with this engine.
    pub(super) async fn scratch_layer(&self) -> Result<PathBuf, VmError> {
        let running = self.running().await?;
        let layer = running.live.join(Uuid::new_v4().simple().to_string());
        let workspace = layer.join("workspace");
        fs::create_dir_all(workspace.join("probe")).map_err(io_error("cannot make", &workspace))?;
        Ok(layer)
    }

    /// Returns the running spawner, a new one if there is none or it has ended.
    async fn running(&self) -> Result<Arc<Running>, VmError> {
        let mut running = self.running.lock().await;
        if let Some(running) = running.as_ref()
            && !running.spawner.is_gone()
        {
            return Ok(Arc::clone(running));
        }
        if self.is_closed.load(Ordering::Acquire) {
            return Err(VmError::Other("the sandbox engine was closed".to_owned()));
        }
        let instance = Instance::take(&self.state)?;
        let mut hidden = self.config.hidden.clone();
        hidden.push(self.state.root().to_owned());
        let live = Arc::from(instance.layers.as_path());
        let (name, stage) = (instance.name.clone(), instance.stage());
        let undertaker = Undertaker::start(instance)
            .map_err(|error| VmError::Other(format!("cannot start a thread: {error}")))?;
        let setup = Setup {
            host: rustix::process::getpid().as_raw_nonzero().get(),
            state: self.state.root().to_owned(),
            map_ids: self.config.map_ids,
            stage,
            exposed: self.config.exposed.clone(),
            hidden,
        };
        let spawner = Arc::new(Spawner::start(&self.config.spawner, setup).await?);
        tell(&spawner.stage.root);
        let environment = Arc::new(Environment::host(&spawner.stage.exposed));
        let caches = Arc::from(spawner.stage.caches.as_slice());
        let new = Arc::new(Running {
            spawner,
            live,
            caches,
            name,
            undertaker,
            environment,
        });
        *running = Some(Arc::clone(&new));
        Ok(new)
    }

    /// Returns what this engine boots images from.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Returns the kind of layers that this engine mounts.
    ///
    /// # Errors
    /// [`VmError::Unavailable`] with cause and remedy where machines cannot be had here.
    pub async fn layer_flavour(&self) -> Result<Flavour, VmError> {
        Ok(self.running().await?.flavour())
    }

    /// Finds what a machine starts from, images fetched if they are not here.
    async fn base(&self, spec: &BootSpec) -> Result<Foundation, VmError> {
        match &spec.base {
            Base::Image(image) if image == "host" => Ok(Foundation::default()),
            Base::Image(image) => {
                let flavour = self.layer_flavour().await?;
                let image = self
                    .images
                    .get(image, flavour, &Progress::default())
                    .await?;
                Ok(Foundation {
                    own: Vec::new(),
                    image: Some(image),
                })
            }
            Base::Snapshot(snapshot) => snapshot
                .as_any()
                .downcast_ref::<SandboxSnapshot>()
                .map(|snapshot| Foundation {
                    own: snapshot.layers.clone(),
                    image: snapshot.image.clone(),
                })
                .ok_or_else(|| {
                    VmError::Other(format!(
                        "snapshot {} is not the sandbox engine's",
                        snapshot.id()
                    ))
                }),
        }
    }

    /// Returns a stack that means the same and can be mounted over `below` more layers;
    /// has a deep one put together, and waits for that if it is too deep.
    async fn shorten(
        &self,
        running: &Running,
        layers: Vec<Arc<Layer>>,
        below: usize,
    ) -> Result<Vec<Arc<Layer>>, VmError> {
        let mut short = self.flattener.shortest(&layers);
        let mut why = String::new();
        // What is waited for may stand for the lower part only, so once more then.
        for _ in 0..3 {
            if short.len() <= self.config.deep {
                break;
            }
            let places = Arc::clone(&self.places).read_owned().await;
            let merging = self.flattener.merge(&short, || Workshop {
                spawner: Arc::clone(&running.spawner),
                undertaker: running.undertaker.clone(),
                live: Arc::clone(&running.live),
                places,
            });
            if short.len() + below <= DEEPEST {
                return Ok(short);
            }
            match merging {
                Some(merging) => why = merging.await.err().unwrap_or_default(),
                None => why = "it was tried before".to_owned(),
            }
            short = self.flattener.shortest(&layers);
        }
        let depth = short.len() + below;
        if depth <= DEEPEST {
            return Ok(short);
        }
        let source = format!("{below} of them of the source and the image");
        Err(VmError::Limit(if why.is_empty() {
            format!("this machine would stack {depth} layers, {source}: at most {DEEPEST} can be")
        } else {
            format!(
                "this machine would stack {depth} layers, {source}: at most {DEEPEST} can be, and \
                 they could not be put together ({why})"
            )
        }))
    }

    async fn start(&self, spec: &BootSpec) -> Result<SandboxMachine, VmError> {
        let network = match spec.options.network {
            Network::Host => Connection::Host,
            Network::None => Connection::None,
            Network::Public => match network::carriers() {
                carriers if carriers.is_empty() => return Err(network::missing().into()),
                carriers => Connection::Public(carriers),
            },
        };
        let base = self.base(spec).await?;
        let running = self.running().await?;
        let id = Uuid::new_v4().simple().to_string();
        let folder = self.state.machines().join(format!("{}.{id}", running.name));
        let group = format!("{}.{id}", running.name);
        let (ours, theirs) = wire::pair().map_err(|error| {
            VmError::Other(format!("cannot make a socket for a machine: {error}"))
        })?;
        let mut remains = Remains {
            process: None,
            socket: ours.try_clone().ok(),
            folder: folder.clone(),
            undertaker: running.undertaker.clone(),
        };
        // Before there is a control group, so that whoever finds the folder finds both.
        fs::create_dir(&folder).map_err(io_error("cannot make", &folder))?;
        let pids = !running.spawner.stage.pid_limit;
        let cgroup = Cgroup::make(&group, &spec.options, pids)?;
        let link = Link::new(ours)
            .map_err(|error| VmError::Other(format!("cannot watch a machine's socket: {error}")))?;
        let of_image = base.image.as_ref().map_or(&[][..], |image| &image.layers);
        let below = spec.source.len() + of_image.len();
        let own = self.shorten(&running, base.own, below).await?;
        let guard = self.places.read().await;
        let mut layers: Vec<PathBuf> = own.iter().map(|layer| layer.folder()).collect();
        layers.extend(spec.source.iter().cloned());
        layers.extend(of_image.iter().cloned());
        let boot = Boot {
            dir: folder,
            layers,
            image: base.image.is_some(),
            network,
            processes: spec.options.processes,
            cgroups: cgroup.entries.clone(),
            per_process: PerProcess::of(&spec.options, pids),
        };
        running.spawner.boot(boot, theirs).await?;
        await_ready(&link, &mut remains, &id).await?;
        drop(guard);
        let conversation = Conversation::start(id, link, cgroup, remains.folder.clone());
        if let Some(process) = &remains.process {
            let limit = spec.options.disk_mib.map(|mib| mib << 20);
            disk::watch(&conversation, process, remains.folder.clone(), limit);
        }
        Ok(SandboxMachine {
            conversation,
            remains,
            live: Arc::clone(&running.live),
            caches: Arc::clone(&running.caches),
            layers: own,
            environment: match &base.image {
                Some(image) => Arc::new(Environment::image(&image.config)),
                None => Arc::clone(&running.environment),
            },
            image: base.image,
        })
    }
}

impl Running {
    fn flavour(&self) -> Flavour {
        if self.spawner.stage.user_namespace {
            Flavour::User
        } else {
            Flavour::Trusted
        }
    }
}

/// What a machine starts from.
#[derive(Default)]
struct Foundation {
    /// What machines have written, topmost first.
    own: Vec<Arc<Layer>>,
    /// What lies below; none is the host's file system.
    image: Option<Arc<Image>>,
}

/// Says, once a run, how far a machine's root is from the host's.
fn tell(root: &Root) {
    match root {
        Root::Nobody => tracing::info!("root inside machines is nobody outside (id-mapped layers)"),
        Root::User => tracing::info!("root inside machines is this user outside"),
        Root::Host(why) => tracing::info!(
            "root inside machines is root outside, so they protect from accidents and not from \
             attack: {why}"
        ),
    }
}

/// Waits for both halves of the news, which come from two processes in either order.
async fn await_ready(link: &Link, remains: &mut Remains, id: &str) -> Result<(), VmError> {
    let mut ready = false;
    while !ready || remains.process.is_none() {
        let message = link.receive().await.map_err(|error| {
            VmError::Other(format!("machine {id} cannot be understood: {error}"))
        })?;
        match message {
            Some((FromMachine::Spawned, fds)) => remains.process = fds.into_iter().next(),
            Some((FromMachine::Ready, _)) => ready = true,
            Some((FromMachine::Failed(failure), _)) => return Err(failure.into()),
            Some(_) => {}
            None => {
                return Err(VmError::Other(format!(
                    "machine {id} ended while it was being started (was it, or its spawner, killed?)"
                )));
            }
        }
    }
    Ok(())
}

#[async_trait]
impl VmBackend for SandboxEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn support(&self) -> Support {
        let root = self
            .running
            .try_lock()
            .ok()
            .and_then(|running| Some(running.as_ref()?.spawner.stage.root.clone()));
        let isolation = match root {
            Some(Root::Nobody) => {
                "a user namespace over id-mapped layers, in which root is nobody of the host's, \
                 dropped capabilities and a filter of system calls; shares the kernel"
            }
            Some(Root::Host(_)) => {
                "namespaces, dropped capabilities and a filter of system calls; shares the \
                 kernel, and root inside is root outside: against accidents, not against attack"
            }
            None if rustix::process::geteuid().is_root() => {
                "namespaces, dropped capabilities and a filter of system calls; shares the \
                 kernel; a user namespace where the kernel has what that takes"
            }
            Some(Root::User) | None => {
                "a user namespace, dropped capabilities and a filter of system calls; shares the \
                 kernel; the system's folders are read-only inside"
            }
        };
        let limits = match Controller::Memory.means() {
            Means::One(_) => "memory, processors and processes, by control groups (version 1)",
            Means::Two(_) => "memory, processors and processes, by control groups (version 2)",
            Means::Processes => {
                "processes, where the kernel is 6.14 or later; memory of each process by itself, \
                 as control groups are not writable here"
            }
        };
        let limits = format!("{limits}; disk, watched");
        let mut networks = vec![Network::Host, Network::None];
        if network::is_likely() {
            networks.push(Network::Public);
        }
        Support {
            isolation: isolation.to_owned(),
            images: "any from a registry, pulled without a daemon, or imported with `hm image \
                     import`; `host` is this machine's own file system"
                .to_owned(),
            limits,
            networks,
            network_note: None,
        }
    }

    async fn flavour(&self) -> Result<Option<Flavour>, VmError> {
        self.layer_flavour().await.map(Some)
    }

    async fn image_id(&self, image: &str, progress: &Progress) -> Result<String, VmError> {
        if image != "host" {
            let flavour = self.layer_flavour().await?;
            let image = self.images.get(image, flavour, progress).await?;
            return Ok(image.id.clone());
        }
        let id = self.host_image.get_or_try_init(|| async {
            tokio::task::spawn_blocking(fingerprint::host)
                .await
                .map_err(|error| VmError::Other(format!("the runtime is ending: {error}")))
        });
        id.await.cloned()
    }

    async fn boot(&self, spec: BootSpec) -> Result<Box<dyn Machine>, VmError> {
        Ok(Box::new(self.start(&spec).await?))
    }

    async fn keep(&self, snapshot: &Arc<dyn Snapshot>) -> Result<SnapshotRecord, VmError> {
        let Some(found) = snapshot.as_any().downcast_ref::<SandboxSnapshot>() else {
            return Err(VmError::Other(format!(
                "snapshot {} is not the sandbox engine's",
                snapshot.id()
            )));
        };
        let running = self.running().await?;
        let layers = self.flattener.shortest(&found.layers);
        let measured = layers.clone();
        tokio::task::spawn_blocking(move || {
            for layer in &measured {
                layer.examine();
            }
        })
        .await
        .map_err(|error| VmError::Other(format!("the runtime is ending: {error}")))?;
        let _guard = self.places.write().await;
        let mut records = Vec::with_capacity(layers.len());
        let with_floor = |layer: &Arc<Layer>| [Some(layer.clone()), layer.examine().floor.clone()];
        for layer in layers.iter().flat_map(with_floor).flatten() {
            layer.keep(self.state.kept_layers().join(&layer.id), |from, to| {
                fs::rename(from, to).map_err(io_error("cannot keep", from))
            })?;
            records.push(LayerRecord {
                id: layer.id.clone(),
                bytes: layer.examine().bytes,
            });
        }
        Ok(SnapshotRecord {
            id: found.id.clone(),
            flavour: running.flavour().name().to_owned(),
            image: found.image.as_ref().map(|image| image.id.clone()),
            layers: records,
        })
    }

    async fn open(&self, record: &SnapshotRecord) -> Result<Option<Arc<dyn Snapshot>>, VmError> {
        let running = self.running().await?;
        if record.flavour != running.flavour().name() {
            return Ok(None);
        }
        let image = match &record.image {
            None => None,
            Some(id) => match self.images.by_id(id, running.flavour()).await? {
                Some(image) => Some(image),
                None => return Ok(None),
            },
        };
        let mut layers = Vec::with_capacity(record.layers.len());
        for layer in &record.layers {
            let folder = self.state.kept_layers().join(&layer.id);
            if !folder.is_dir() {
                return Ok(None);
            }
            let undertaker = running.undertaker.clone();
            layers.push(Arc::new(Layer::kept(
                layer.id.clone(),
                folder,
                layer.bytes,
                undertaker,
            )));
        }
        Ok(Some(Arc::new(SandboxSnapshot {
            id: record.id.clone(),
            layers,
            image,
        })))
    }

    async fn remove_layers(&self, layers: &[String]) -> Result<(), VmError> {
        for layer in layers {
            // A name of ours is a word; anything else would lead out of the folder.
            if layer.chars().all(|letter| letter.is_ascii_alphanumeric()) && !layer.is_empty() {
                self.state.discard(&self.state.kept_layers().join(layer))?;
            }
        }
        let running = self.running.lock().await.clone();
        match running {
            Some(running) => running.undertaker.take(Doomed::Trash),
            None => {
                let state = self.state.clone();
                let _ = tokio::task::spawn_blocking(move || state.empty_trash()).await;
            }
        }
        Ok(())
    }

    async fn remove_images(&self, keep: &HashSet<String>) -> Result<usize, VmError> {
        let (images, keep) = (self.images.clone(), keep.clone());
        let collected = tokio::task::spawn_blocking(move || images.collect(&keep))
            .await
            .map_err(|error| VmError::Other(format!("the runtime is ending: {error}")))??;
        Ok(collected.map_or(0, |gone| (gone.images + gone.layers) as usize))
    }

    async fn reap(&self) -> Result<usize, VmError> {
        let (state, images) = (self.state.clone(), self.images.clone());
        tokio::task::spawn_blocking(move || {
            let gone = instance::reap(&state)? + images.reap()?;
            state.empty_trash();
            Ok(gone)
        })
        .await
        .map_err(|error| VmError::Other(format!("the runtime is ending: {error}")))?
    }

    async fn settle(&self) {
        let running = self.running.lock().await.clone();
        if let Some(running) = running {
            running.undertaker.settle().await;
        }
    }

    async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.images.settle().await;
        // Waits for one that is being started.
        let Some(running) = self.running.lock().await.take() else {
            return;
        };
        self.flattener.clear();
        running.undertaker.settle().await;
        let end = running.undertaker.end();
        drop(running);
        let _ = tokio::time::timeout(CLOSING, end).await;
    }
}

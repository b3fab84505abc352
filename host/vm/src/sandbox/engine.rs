//! The engine itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OnceCell, RwLock};
use uuid::Uuid;

use super::cgroup::{Cgroup, Version, version};
use super::config::{SandboxConfig, check_exposed, environment};
use super::fingerprint;
use super::instance::{self, Instance};
use super::layer::{Layer, SandboxSnapshot};
use super::link::Link;
use super::machine::{Conversation, Remains, SandboxMachine};
use super::spawner::Spawner;
use super::undertaker::{Doomed, Undertaker};
use super::wire::{self, Boot, FromMachine};
use crate::backend::{
    Base, BootSpec, LayerRecord, Machine, Network, Progress, Snapshot, SnapshotRecord, Support,
    VmBackend,
};
use crate::error::VmError;
use crate::state::{StateDir, io_error};

const NAME: &str = "sandbox";
/// The kernel takes 500 layers (vm reference, A2), image and source among them.
const MOST_LAYERS: usize = 480;
/// How long the end of the engine waits for somebody who still holds a layer; what is left
/// then is removed at the next start.
const CLOSING: Duration = Duration::from_secs(5);

/// Machines by namespaces and overlayfs. See the [module](super).
#[derive(Debug)]
pub struct SandboxEngine {
    config: SandboxConfig,
    state: StateDir,
    running: Mutex<Option<Arc<Running>>>,
    image: OnceCell<String>,
    /// Held for reading while a machine's layers are opened, for writing while one of
    /// them moves.
    places: RwLock<()>,
    is_closed: AtomicBool,
}

/// What there is from the first machine on.
#[derive(Debug)]
struct Running {
    spawner: Spawner,
    /// Where live layers lie.
    live: Arc<Path>,
    /// Lent folders that machines write to.
    caches: Arc<[PathBuf]>,
    name: String,
    undertaker: Undertaker,
    environment: Arc<BTreeMap<String, String>>,
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
        Ok(Self {
            config,
            state,
            running: Mutex::new(None),
            image: OnceCell::new(),
            places: RwLock::new(()),
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
        let spawner = Spawner::start(
            &self.config.spawner,
            stage,
            self.config.exposed.clone(),
            hidden,
        )
        .await?;
        let environment = Arc::new(environment(&spawner.stage.exposed));
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

    /// The layers of a machine, topmost first, and handles on those that must last.
    fn layers(spec: &BootSpec) -> Result<(Vec<PathBuf>, Vec<Arc<Layer>>), VmError> {
        let own = match &spec.base {
            Base::Image(image) if image == "host" => Vec::new(),
            Base::Image(image) => {
                return Err(VmError::ImageNotFound {
                    image: image.clone(),
                    engine: NAME,
                });
            }
            Base::Snapshot(snapshot) => snapshot
                .as_any()
                .downcast_ref::<SandboxSnapshot>()
                .map(|snapshot| snapshot.layers.clone())
                .ok_or_else(|| {
                    VmError::Other(format!(
                        "snapshot {} is not the sandbox engine's",
                        snapshot.id()
                    ))
                })?,
        };
        let mut folders: Vec<PathBuf> = own.iter().map(|layer| layer.folder()).collect();
        folders.extend(spec.source.iter().cloned());
        if folders.len() > MOST_LAYERS {
            return Err(VmError::Limit(format!(
                "this machine would stack {} layers, and the kernel takes {MOST_LAYERS}: the chain \
                 of steps that build on each other is too long",
                folders.len()
            )));
        }
        Ok((folders, own))
    }

    async fn start(&self, spec: &BootSpec) -> Result<SandboxMachine, VmError> {
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
        let cgroup = Cgroup::make(&group, &spec.options, !running.spawner.stage.pid_limit)?;
        let link = Link::new(ours)
            .map_err(|error| VmError::Other(format!("cannot watch a machine's socket: {error}")))?;
        let guard = self.places.read().await;
        let (layers, own) = Self::layers(spec)?;
        let boot = Boot {
            dir: folder,
            layers,
            isolate_network: spec.options.network == Network::None,
            processes: spec.options.processes,
            cgroups: cgroup
                .as_ref()
                .map(|cgroup| cgroup.entries.clone())
                .unwrap_or_default(),
        };
        running.spawner.boot(boot, theirs).await?;
        await_ready(&link, &mut remains, &id).await?;
        drop(guard);
        Ok(SandboxMachine {
            conversation: Conversation::start(id, link, cgroup),
            remains,
            live: Arc::clone(&running.live),
            caches: Arc::clone(&running.caches),
            layers: own,
            environment: Arc::clone(&running.environment),
        })
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
        let root = rustix::process::geteuid().is_root();
        let isolation = if root {
            "namespaces, dropped capabilities and a filter of system calls; shares the kernel, \
             and root inside is root outside: against accidents, not against attack"
        } else {
            "a user namespace, dropped capabilities and a filter of system calls; shares the \
             kernel; the system's folders are read-only inside"
        };
        let limits = match version() {
            Version::One => "memory, processors and processes, by control groups (version 1)",
            Version::Two => "memory, processors and processes, by control groups (version 2)",
            Version::None => {
                "processes, where the kernel is 6.14 or later; memory and processors \
                              cannot be limited here: control groups are not writable"
            }
        };
        Support {
            isolation: isolation.to_owned(),
            images: "`host`, this machine's own file system".to_owned(),
            limits: limits.to_owned(),
            networks: vec![Network::Host, Network::None],
        }
    }

    async fn image_id(&self, image: &str, _: &Progress) -> Result<String, VmError> {
        if image != "host" {
            return Err(VmError::ImageNotFound {
                image: image.to_owned(),
                engine: NAME,
            });
        }
        let id = self.image.get_or_try_init(|| async {
            tokio::task::spawn_blocking(fingerprint::host)
                .await
                .map_err(|error| VmError::Other(format!("the runtime is ending: {error}")))
        });
        id.await.cloned()
    }

    async fn boot(&self, spec: BootSpec) -> Result<Box<dyn Machine>, VmError> {
        if spec.options.network == Network::Public {
            return Err(VmError::Unavailable {
                cause: "the sandbox engine has no network stack of its own, so the network \
                        `public` cannot be had"
                    .to_owned(),
                remedy: "use `--network host` or `--network none`".to_owned(),
            });
        }
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
        let flavour = if running.spawner.stage.user_namespace {
            "user"
        } else {
            "trusted"
        };
        let layers = found.layers.clone();
        let measured = layers.clone();
        tokio::task::spawn_blocking(move || measured.iter().for_each(|layer| layer.measure()))
            .await
            .map_err(|error| VmError::Other(format!("the runtime is ending: {error}")))?;
        let _guard = self.places.write().await;
        let mut records = Vec::with_capacity(layers.len());
        for layer in &layers {
            layer.keep(self.state.kept_layers().join(&layer.id), |from, to| {
                fs::rename(from, to).map_err(io_error("cannot keep", from))
            })?;
            records.push(LayerRecord {
                id: layer.id.clone(),
                bytes: layer.bytes.get().copied().unwrap_or(0),
            });
        }
        Ok(SnapshotRecord {
            id: found.id.clone(),
            flavour: flavour.to_owned(),
            image: None,
            layers: records,
        })
    }

    async fn open(&self, record: &SnapshotRecord) -> Result<Option<Arc<dyn Snapshot>>, VmError> {
        let running = self.running().await?;
        let flavour = if running.spawner.stage.user_namespace {
            "user"
        } else {
            "trusted"
        };
        if record.flavour != flavour {
            return Ok(None);
        }
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

    async fn reap(&self) -> Result<usize, VmError> {
        let state = self.state.clone();
        tokio::task::spawn_blocking(move || {
            let gone = instance::reap(&state)?;
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
        // Waits for one that is being started.
        let Some(running) = self.running.lock().await.take() else {
            return;
        };
        running.undertaker.settle().await;
        let end = running.undertaker.end();
        drop(running);
        let _ = tokio::time::timeout(CLOSING, end).await;
    }
}

//! The way in: an engine, the registry and the frozen source, as one thing.

mod cache;
mod carry;
mod ephemeral;
mod upkeep;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

pub use cache::CacheClaim;
pub use carry::{RestoreFrom, SaveTo};

use crate::backend::VmBackend;
use crate::error::VmError;
use crate::registry::Registry;
use crate::source::{self, FreezeOptions, FrozenSource};
use crate::state::StateDir;
use ephemeral::Ephemeral;

/// What kept snapshots may take on the disk unless the user says otherwise: 20 GiB, some
/// hundred steps that install things.
pub const DEFAULT_CACHE_BYTES: u64 = 20 << 30;

/// What a subsystem is made of.
#[derive(Clone)]
pub struct SubsystemConfig {
    /// Where everything lies. The engine must have been given the same.
    pub state_dir: StateDir,
    /// The engine that runs machines.
    pub engine: Arc<dyn VmBackend>,
    /// What the engine's kept snapshots may take, in bytes of disk space.
    pub cache_bytes: u64,
}

impl SubsystemConfig {
    /// Returns a configuration with [`DEFAULT_CACHE_BYTES`].
    pub fn new(state_dir: StateDir, engine: Arc<dyn VmBackend>) -> Self {
        Self {
            state_dir,
            engine,
            cache_bytes: DEFAULT_CACHE_BYTES,
        }
    }
}

impl fmt::Debug for SubsystemConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubsystemConfig")
            .field("state_dir", &self.state_dir)
            .field("engine", &self.engine.name())
            .field("cache_bytes", &self.cache_bytes)
            .finish()
    }
}

/// Machines, snapshots that outlive a run, and the frozen source. Clones are handles on
/// the same.
///
/// What a subsystem has found in the cache or stored there is pinned until the last
/// handle goes: keep one as long as machines run.
#[derive(Clone)]
pub struct Subsystem {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Arc<dyn VmBackend>,
    registry: Arc<Registry>,
    state: StateDir,
    cache_bytes: u64,
    upkeep: upkeep::Upkeep,
    warnings: Mutex<Vec<String>>,
    /// Last, so that the folder is removed when everything in it is closed.
    _ephemeral: Option<Ephemeral>,
}

impl Subsystem {
    /// Opens the registry and starts, in the background, to remove what dead processes
    /// left. Takes a millisecond or two. Without a tokio runtime nothing is removed until
    /// [`Subsystem::reap`] is called.
    ///
    /// # Errors
    /// Those of [`Registry::open`].
    pub fn open(config: SubsystemConfig) -> Result<Self, VmError> {
        Self::assemble(config, None)
    }

    /// Opens a subsystem whose folder goes with its last handle: for tests and
    /// measurements with an engine that keeps nothing on the disk.
    ///
    /// # Errors
    /// As [`Subsystem::open`], if the system's temporary folder cannot be used.
    pub fn ephemeral(engine: Arc<dyn VmBackend>) -> Result<Self, VmError> {
        let folder = Ephemeral::make()?;
        let state_dir = StateDir::open(folder.path())?;
        Self::assemble(SubsystemConfig::new(state_dir, engine), Some(folder))
    }

    fn assemble(config: SubsystemConfig, ephemeral: Option<Ephemeral>) -> Result<Self, VmError> {
        let registry = Arc::new(Registry::open(&config.state_dir)?);
        let subsystem = Self {
            inner: Arc::new(Inner {
                engine: config.engine,
                registry,
                state: config.state_dir,
                cache_bytes: config.cache_bytes,
                upkeep: upkeep::Upkeep::default(),
                warnings: Mutex::default(),
                _ephemeral: ephemeral,
            }),
        };
        subsystem.start_upkeep();
        Ok(subsystem)
    }

    /// Returns the engine.
    pub fn engine(&self) -> &Arc<dyn VmBackend> {
        &self.inner.engine
    }

    /// Returns the folder that outlives the run.
    pub fn state(&self) -> &StateDir {
        &self.inner.state
    }

    /// Takes what the user should be told of, as whole sentences, each once. More may
    /// come at any time.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.inner.registry.take_warnings();
        let own = self.inner.warnings.lock();
        warnings.append(&mut own.unwrap_or_else(PoisonError::into_inner));
        warnings
    }

    /// Returns the identity of the repository in a folder, to be mixed into its cache
    /// keys: random, the same for the same real path ever after.
    ///
    /// # Errors
    /// [`VmError::Io`] if there is no such folder, [`VmError::Registry`].
    pub async fn repository_id(&self, root: &Path) -> Result<String, VmError> {
        let root = root.to_owned();
        self.on_registry(move |registry| registry.repository_id(&root))
            .await
    }

    /// Freezes the source tree of a build. The layers stay until what is returned is
    /// dropped.
    ///
    /// # Errors
    /// Those of [`source::freeze`].
    pub async fn freeze_source(
        &self,
        root: &Path,
        options: FreezeOptions,
    ) -> Result<FrozenSource, VmError> {
        let (state, root) = (self.inner.state.clone(), root.to_owned());
        let frozen = blocking(move || source::freeze(&state, &root, &options)).await?;
        self.tell_of(&frozen);
        Ok(frozen)
    }

    /// Tells of a frozen tree: to the log what was left out, to [`Subsystem::warnings`] what
    /// the user should know.
    pub fn tell_of(&self, frozen: &FrozenSource) {
        tracing::info!("{}", frozen.stats().summary());
        self.inner
            .warnings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(frozen.stats().warnings());
    }

    /// Runs a registry call where it may block: it is short, but can stand in line
    /// behind another process.
    async fn on_registry<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Arc<Registry>) -> Result<T, VmError> + Send + 'static,
    ) -> Result<T, VmError> {
        let registry = Arc::clone(&self.inner.registry);
        blocking(move || call(&registry)).await
    }
}

impl fmt::Debug for Subsystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subsystem")
            .field("engine", &self.inner.engine.name())
            .field("state", &self.inner.state)
            .finish_non_exhaustive()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VmError> + Send + 'static,
) -> Result<T, VmError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(VmError::Other(format!("the runtime is ending: {error}"))),
        },
    }
}

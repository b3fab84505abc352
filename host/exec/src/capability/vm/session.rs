//! What all machine calls of one build share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use hm_plugin_protocol::{PlanGraph, StepId};
use hm_vm::{Base, BootSpec, FrozenSource, MachineOptions, VmBackend, VmError};
use tokio::sync::{OnceCell, Semaphore};

use super::claims::Claims;
use super::machine::{FileSystem, GuestMachine};
use super::{CallError, wit};
use crate::api::KeyLog;
use crate::capability::VmGrant;

/// Machines that a step may cost: its own, and others after lost or failed ones.
const MACHINES_PER_STEP: usize = 4;

type Freezing = Shared<BoxFuture<'static, Result<Arc<FrozenSource>, Arc<VmError>>>>;

/// The VM subsystem, as one build sees it.
pub(crate) struct VmSession {
    pub(super) grant: VmGrant,
    pub(super) plan: Arc<hm_plugin_protocol::Plan>,
    pub(super) graph: Arc<PlanGraph>,
    /// Of the repository, in cache keys.
    pub(super) repository: OnceCell<String>,
    pub(super) repo_root: PathBuf,
    /// Whose results are shared: built-in, or a digest.
    pub(super) class: String,
    pub(super) no_cache: bool,
    /// For whoever explains the keys.
    pub(super) keys: KeyLog,
    /// What each step's base is made of, as far as asked for.
    pub(super) lineages: Vec<OnceCell<String>>,
    /// Keys that this build is building.
    pub(crate) claims: Claims,
    source: Freezing,
    machines: Arc<Semaphore>,
    machines_max: usize,
    machines_made: AtomicUsize,
    /// The first failure of the subsystem, with its chain and remedy: the guest sees only
    /// its text.
    failure: Mutex<Option<VmError>>,
}

/// What a session needs to know of the request.
pub(crate) struct VmRequest {
    pub(crate) grant: VmGrant,
    pub(crate) plan: Arc<hm_plugin_protocol::Plan>,
    pub(crate) graph: Arc<PlanGraph>,
    pub(crate) repo_root: PathBuf,
    pub(crate) class: String,
    pub(crate) no_cache: bool,
    pub(crate) parallelism: u32,
    pub(crate) keys: KeyLog,
}

impl VmSession {
    /// Begins to freeze the source tree; the first machine waits for it.
    pub(crate) fn new(request: VmRequest) -> Self {
        let VmRequest {
            grant,
            plan,
            graph,
            repo_root,
            class,
            no_cache,
            parallelism,
            keys,
        } = request;
        let (subsystem, root) = (grant.subsystem.clone(), repo_root.clone());
        let source: Freezing = async move {
            subsystem
                .freeze_source(&root, hm_vm::FreezeOptions::default())
                .await
                .map(Arc::new)
                .map_err(Arc::new)
        }
        .boxed()
        .shared();
        // Begins now, beside the component's start.
        tokio::spawn(source.clone());
        let machines_max = (2 * parallelism as usize).max(64);
        Self {
            lineages: (0..graph.len()).map(|_| OnceCell::new()).collect(),
            repository: OnceCell::new(),
            claims: Claims::default(),
            machines: Arc::new(Semaphore::new(machines_max)),
            machines_max,
            machines_made: AtomicUsize::new(0),
            failure: Mutex::new(None),
            grant,
            plan,
            graph,
            repo_root,
            class,
            no_cache,
            keys,
            source,
        }
    }

    pub(super) fn engine(&self) -> &Arc<dyn VmBackend> {
        self.grant.subsystem.engine()
    }

    /// Returns the layers of the frozen source, topmost first.
    pub(super) async fn source(&self) -> Result<Arc<[PathBuf]>, CallError> {
        match self.source.clone().await {
            Ok(source) => Ok(source.layers().clone()),
            Err(error) => {
                let text = chain(error.as_ref());
                Err(self.guest_error(VmError::Other(format!(
                    "the source tree could not be frozen: {text}"
                ))))
            }
        }
    }

    /// Starts a machine.
    ///
    /// # Errors
    /// Over the number of machines: fails and never waits, so that nothing can deadlock.
    pub(super) async fn boot(
        &self,
        step: StepId,
        base: Base,
        fs: FileSystem,
        options: &wit::MachineOptions,
    ) -> Result<GuestMachine, CallError> {
        let Ok(permit) = self.machines.clone().try_acquire_owned() else {
            return Err(CallError::limit(format!("machines {}", self.machines_max)));
        };
        let most = MACHINES_PER_STEP * self.plan.steps.len() + 16;
        if self.machines_made.fetch_add(1, Ordering::Relaxed) >= most {
            return Err(CallError::limit(format!("machines made in a build {most}")));
        }
        let network = match self.plan.steps[step as usize].network {
            None => self.grant.network,
            Some(hm_plugin_protocol::Network::None) => hm_vm::Network::None,
            Some(hm_plugin_protocol::Network::Public) => hm_vm::Network::Public,
            Some(hm_plugin_protocol::Network::Host) => hm_vm::Network::Host,
        };
        let options = MachineOptions {
            cpus: options.cpus,
            memory_mib: options.memory_mib,
            network,
            ..MachineOptions::default()
        };
        let spec = BootSpec {
            base,
            source: self.source().await?,
            options: options.clone(),
        };
        let machine = self
            .engine()
            .boot(spec)
            .await
            .map_err(|e| self.guest_error(e))?;
        Ok(GuestMachine::new(machine, fs, options, permit))
    }

    /// Turns an engine's failure into the guest's error, and keeps the first one whole for
    /// the user.
    pub(super) fn guest_error(&self, error: VmError) -> CallError {
        let text = chain(&error);
        let guest = match &error {
            VmError::ImageNotFound { .. } => wit::VmError::ImageNotFound(text),
            VmError::Limit(_) => wit::VmError::Limit(text),
            VmError::Gone(_) => wit::VmError::Gone(text),
            VmError::Unavailable { .. } | VmError::ImageFetch { .. } => {
                wit::VmError::Unavailable(text)
            }
            _ => wit::VmError::Other(text),
        };
        if !matches!(error, VmError::Gone(_) | VmError::Limit(_)) {
            self.failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(error);
        }
        CallError::Guest(guest)
    }

    /// Takes the first failure of the subsystem.
    pub(crate) fn take_failure(&self) -> Option<VmError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Gives up what the build still claims, and waits until its machines are really gone.
    pub(crate) async fn settle(&self) {
        self.claims.give_up_all().await;
        self.engine().settle().await;
    }
}

/// An error with its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

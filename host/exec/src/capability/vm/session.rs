//! What all machine calls of one build share.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hm_plugin_protocol::{PlanGraph, StepId};
use hm_vm::{Base, BootSpec, MachineOptions, VmBackend, VmError};
use tokio::sync::{OnceCell, Semaphore};

use super::claims::Claims;
use super::images::Images;
use super::machine::{FileSystem, GuestMachine};
use super::{CallError, wit};
use crate::api::{KeyLog, secret_of};
use crate::capability::VmGrant;
use crate::capability::source::SourceTree;
use crate::component::{LimitHit, Limits};

/// Machines that a step may cost: its own, and others after lost or failed ones.
const MACHINES_PER_STEP: usize = 4;

/// Commands of the component's own at one time. Each holds pipes of this process open.
pub(super) const COMMANDS_MAX: usize = 128;

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
    source: Arc<SourceTree>,
    /// Names of secrets that the component may read.
    pub(super) readable: BTreeSet<String>,
    pub(super) images: Images,
    limits: Limits,
    machines: Arc<Semaphore>,
    /// For what is not a step's command.
    pub(super) commands: Arc<Semaphore>,
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
    /// What every machine that boots from an image has at `/workspace`.
    pub(crate) source: Arc<SourceTree>,
    /// Names of secrets that the component may read.
    pub(crate) readable: BTreeSet<String>,
    pub(crate) limits: Limits,
}

impl VmSession {
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
            source,
            readable,
            limits,
        } = request;
        // The default bends to a user who wants many steps at once.
        let machines_max = if limits.machines == Limits::default().machines {
            limits.machines.max(2 * parallelism as usize)
        } else {
            limits.machines
        };
        Self {
            lineages: (0..graph.len()).map(|_| OnceCell::new()).collect(),
            repository: OnceCell::new(),
            claims: Claims::default(),
            images: Images::new(grant.images.clone(), grant.allowed.clone(), &plan),
            machines: Arc::new(Semaphore::new(machines_max.min(Semaphore::MAX_PERMITS))),
            commands: Arc::new(Semaphore::new(COMMANDS_MAX)),
            limits,
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
            readable,
        }
    }

    pub(super) fn engine(&self) -> &Arc<dyn VmBackend> {
        self.grant.subsystem.engine()
    }

    /// Returns whether the machine on which a step runs is expected to run nothing more. A
    /// scheduler that wastes nothing hands a machine on to a single heir, and only where
    /// neither result comes from the cache or goes there.
    pub(super) fn is_last(&self, step: StepId) -> bool {
        let is_kept = |step: StepId| {
            let cache = self.plan.steps[step as usize].cache.as_ref();
            !self.no_cache && cache.is_some_and(|cache| cache.key.is_some())
        };
        let mut heirs = self
            .graph
            .successors(step)
            .iter()
            .filter(|heir| self.graph.parent(**heir) == Some(step));
        match (heirs.next(), heirs.next()) {
            (Some(heir), None) => is_kept(step) || is_kept(*heir),
            _ => true,
        }
    }

    /// Returns the layers of the frozen source, topmost first.
    pub(super) async fn source(&self) -> Result<Arc<[PathBuf]>, CallError> {
        match self.source.frozen().await {
            Ok(source) => Ok(source.layers().clone()),
            Err(text) => Err(self.guest_error(VmError::Other(text))),
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
        secrets: BTreeSet<String>,
        options: &wit::MachineOptions,
    ) -> Result<GuestMachine, CallError> {
        let Ok(permit) = self.machines.clone().try_acquire_owned() else {
            return Err(CallError::limit(
                LimitHit::of("machines", &self.limits).to_string(),
            ));
        };
        let most = MACHINES_PER_STEP * self.plan.steps.len() + 16;
        if self.machines_made.fetch_add(1, Ordering::Relaxed) >= most {
            return Err(CallError::limit(format!("machines made in a build {most}")));
        }
        let network = match self.plan.steps[step as usize].network {
            None => self.grant.machine.network,
            Some(hm_plugin_protocol::Network::None) => hm_vm::Network::None,
            Some(hm_plugin_protocol::Network::Public) => hm_vm::Network::Public,
            Some(hm_plugin_protocol::Network::Host) => hm_vm::Network::Host,
        };
        let most = &self.grant.machine;
        let options = MachineOptions {
            network,
            ..most.at_most(options.cpus, options.memory_mib)
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
        Ok(GuestMachine::new(machine, fs, secrets, options, permit))
    }

    /// Returns the names of the secrets that a step's command has.
    pub(super) fn secrets_of(&self, step: StepId) -> BTreeSet<String> {
        let values = self.plan.steps[step as usize].env.values();
        values
            .filter_map(|value| secret_of(value))
            .map(str::to_owned)
            .collect()
    }

    /// Returns the names of the secrets that some command had on the way to a step's end.
    pub(super) fn secrets_up_to(&self, step: StepId) -> BTreeSet<String> {
        std::iter::successors(Some(step), |step| self.graph.parent(*step))
            .flat_map(|step| self.secrets_of(step))
            .collect()
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
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

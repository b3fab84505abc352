//! One build: one store, one task, and what they share.

mod activity;
mod bucket;
mod conversion;
mod diagnostics;
mod drive;
mod guest;
mod instance;
mod meter;
mod refusals;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use activity::Activity;
pub(crate) use activity::Awaited;
pub(crate) use drive::start;
use refusals::Refusals;

use crate::api::{CancelReason, Capabilities, Secrets, Wish};
use crate::capability::http::HttpSession;
use crate::capability::source::SourceTree;
use crate::capability::vm::{CallError, VmSession};
use crate::component::bindings::hm::backend::vm::VmError;
use crate::component::{LimitHit, Limits};
use crate::sequencer::{Entry, Ledger, Mask, Queue};
use diagnostics::Diagnostics;

/// What the store, the machines and the task of a build share.
pub(crate) struct Session {
    backend: String,
    ledger: Mutex<Ledger>,
    queue: Queue,
    wish: watch::Receiver<Wish>,
    lent: Lent,
    secrets: Secrets,
    mask: Option<Arc<Mask>>,
    refusals: Refusals,
    /// A limit that was passed outside of the guest's code.
    exceeded: watch::Sender<Option<LimitHit>>,
    limits: Limits,
    calls: AtomicUsize,
    calls_max: usize,
    diagnostics: Diagnostics,
    activity: Activity,
    /// What the component says of itself.
    described: Arc<OnceLock<Capabilities>>,
    /// Tasks that read what commands print.
    pub(crate) pumps: TaskTracker,
}

/// What was granted, as this build sees it.
pub(crate) struct Lent {
    /// Of the component's bytes, for the commands that would grant more.
    pub(crate) digest: String,
    /// Machines.
    pub(crate) vm: Option<VmSession>,
    /// The source tree: for machines, and for the component if it may read it.
    pub(crate) source: Option<Arc<SourceTree>>,
    /// HTTP.
    pub(crate) http: Option<Arc<HttpSession>>,
    /// For the commands of steps.
    pub(crate) secrets: Secrets,
}

impl Session {
    fn new(
        backend: String,
        ledger: Ledger,
        queue: Queue,
        wish: watch::Receiver<Wish>,
        mut lent: Lent,
        parallelism: u32,
        limits: Limits,
    ) -> Self {
        let secrets = std::mem::take(&mut lent.secrets);
        let http = lent.http.iter().flat_map(|http| http.hidden());
        let mask = Mask::new(secrets.values().chain(http)).map(Arc::new);
        Self {
            backend,
            ledger: Mutex::new(ledger),
            queue,
            wish,
            lent,
            secrets,
            mask,
            refusals: Refusals::default(),
            exceeded: watch::Sender::new(None),
            calls: AtomicUsize::new(0),
            calls_max: limits.calls + 2 * parallelism as usize,
            diagnostics: Diagnostics::new(&limits),
            activity: Activity::new(),
            described: Arc::default(),
            limits,
            pumps: TaskTracker::new(),
        }
    }

    /// Notes in `described` what the component says of itself.
    fn describing(mut self, described: &Arc<OnceLock<Capabilities>>) -> Self {
        self.described.clone_from(described);
        self
    }

    /// Returns the backend's name, as the user chose it.
    pub(crate) fn backend(&self) -> &str {
        &self.backend
    }

    /// Returns the state machine of the build. Never held across an await.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the VM subsystem, if it was granted.
    pub(crate) fn vm(&self) -> Option<&VmSession> {
        self.lent.vm.as_ref()
    }

    /// Returns the source tree, if machines or the component may have it.
    pub(crate) fn source(&self) -> Option<&Arc<SourceTree>> {
        self.lent.source.as_ref()
    }

    /// Returns HTTP, if it was granted.
    pub(crate) fn http(&self) -> Option<&Arc<HttpSession>> {
        self.lent.http.as_ref()
    }

    /// Returns the values for the commands of steps.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Returns what hides secrets; none if there are none.
    fn mask(&self) -> Option<&Arc<Mask>> {
        self.mask.as_ref()
    }

    /// Hides secrets in a text that goes to the user by another way than the events.
    pub(crate) fn hide(&self, mut text: String) -> String {
        if let Some(mask) = &self.mask {
            mask.string(&mut text);
        }
        text
    }

    /// Ends the build because a limit was passed.
    pub(crate) fn exceed(&self, limit: LimitHit) {
        self.exceeded.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(limit);
            is_first
        });
    }

    /// Returns the first limit that was passed, if one was.
    fn passed_limit(&self) -> Option<LimitHit> {
        self.exceeded.borrow().clone()
    }

    /// Returns the first limit that was passed, once one is.
    async fn exceeded(&self) -> LimitHit {
        let mut limits = self.exceeded.subscribe();
        let limit = match limits.wait_for(Option::is_some).await {
            Ok(limit) => limit.clone(),
            Err(_) => None,
        };
        match limit {
            Some(limit) => limit,
            None => std::future::pending().await,
        }
    }

    /// Queues checked entries; waits while the reader is slow.
    pub(crate) async fn tell(&self, entries: Vec<Entry>) {
        if !entries.is_empty() {
            // The queue outlives every sender but the one that closes it.
            let _ = self.queue.send(entries).await;
        }
    }

    /// Counts a host call, as long as the returned guard lives.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<(Arc<Self>, Call), LimitHit> {
        let (session, mut call) = self.enter_aside()?;
        call._awaited = Some(self.awaits());
        Ok((session, call))
    }

    /// Counts a host call that may well never return, and is no reason to be quiet.
    pub(crate) fn enter_aside(self: &Arc<Self>) -> Result<(Arc<Self>, Call), LimitHit> {
        let call = Call {
            session: self.clone(),
            _awaited: None,
        };
        if self.calls.fetch_add(1, Ordering::Relaxed) >= self.calls_max {
            return Err(LimitHit::of("calls", &self.limits));
        }
        Ok((self.clone(), call))
    }

    /// Returns when the host wants the build to stop.
    pub(crate) async fn cancelled(&self) -> CancelReason {
        let mut wish = self.wish.clone();
        loop {
            match *wish.borrow_and_update() {
                Wish::Cancel(reason) | Wish::Kill(reason) => return reason,
                Wish::Run => {}
            }
            if wish.changed().await.is_err() {
                // Nobody is left who could cancel.
                return std::future::pending().await;
            }
        }
    }

    /// Runs a machine call, unless the build is being cancelled.
    pub(crate) async fn unless_cancelled<T>(
        &self,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        tokio::select! {
            biased;
            _ = self.cancelled() => Err(CallError::Guest(VmError::Cancelled)),
            result = call => result,
        }
    }

    /// Returns the ceilings of this build.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Counts a line of diagnostics of so many bytes, and tells whether it may be shown.
    pub(crate) fn may_log(&self, bytes: usize) -> bool {
        let dropped = self.diagnostics.admit(bytes);
        if let Some(dropped) = dropped {
            self.tell_dropped(dropped);
        }
        dropped.is_some()
    }

    fn tell_dropped(&self, lines: u64) {
        if lines > 0 {
            let backend = self.backend();
            tracing::warn!(target: "hm::backend", backend, "{lines} lines dropped");
        }
    }

    /// Remembers an error that the guest logged, to be shown beside a bare trap.
    pub(crate) fn note_last_words(&self, line: String) {
        self.diagnostics.note_last_words(line);
    }

    fn last_words(&self) -> Option<String> {
        self.diagnostics.last_words()
    }

    /// True once the host wants the build to stop, and why.
    fn wish(&self) -> Option<CancelReason> {
        match *self.wish.borrow() {
            Wish::Cancel(reason) | Wish::Kill(reason) => Some(reason),
            Wish::Run => None,
        }
    }
}

/// A host call in flight.
pub(crate) struct Call {
    session: Arc<Session>,
    _awaited: Option<Awaited>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.session.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

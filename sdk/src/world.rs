//! Where a backend lives when it is compiled natively: a stand-in for the host that a test
//! kit provides. `hm-backend-testkit` has one; an author uses that and not this module.
//!
//! Everything that the SDK's wrappers ask of the host they ask of the world that the
//! thread has [entered](enter).

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use futures::stream::LocalBoxStream;

pub use crate::bindings::hm::backend::diagnostics::Severity;
use crate::bindings::hm::backend::events::BuildEvent;
use crate::bindings::hm::backend::source::TreeInfo;
use crate::bindings::hm::backend::types::{BackendError, BuildStatus, RunRequest, StepId};
use crate::bindings::hm::backend::vm::{ExecSpec, ExecStatus, MachineOptions, VmError};
use crate::http::Failure;
pub use crate::http::wire::{Body, Incoming, Outgoing};
use crate::trace::ToHost;
use crate::{Backend, CancelReason, Cancellation, EventSink};

/// A stand-in for the host. The meaning of each method is that of the interface's function
/// of the same name.
pub trait World {
    /// Nanoseconds of a monotonic clock.
    fn now(&self) -> u64;
    /// Returns that many nanoseconds later.
    fn wait_for(&self, nanoseconds: u64) -> LocalBoxFuture<'static, ()>;
    /// Returns when the build is to stop.
    fn cancelled(&self) -> LocalBoxFuture<'static, CancelReason>;
    /// Takes a line of diagnostics.
    fn log(&self, severity: Severity, message: &str);
    /// Takes events; false if nobody reads any more.
    fn write_events(&self, events: Vec<BuildEvent>) -> LocalBoxFuture<'static, bool>;
    /// Tells the size of the source tree.
    fn measure(&self) -> LocalBoxFuture<'static, Result<TreeInfo, String>>;
    /// Gives the source tree as an archive.
    fn archive(
        &self,
    ) -> (
        LocalBoxStream<'static, Vec<u8>>,
        LocalBoxFuture<'static, Result<TreeInfo, String>>,
    );
    /// Carries a request to a server.
    fn send(&self, request: Outgoing) -> LocalBoxFuture<'static, Result<Incoming, Failure>>;
    /// Boots a machine.
    fn boot(
        &self,
        step: StepId,
        origin: Origin,
        options: MachineOptions,
    ) -> LocalBoxFuture<'static, Result<Id, VmError>>;
    /// Runs a step's command in a machine.
    fn run(
        &self,
        machine: u64,
        step: StepId,
    ) -> LocalBoxFuture<'static, Result<ExecStatus, VmError>>;
    /// Runs another command in a machine.
    fn exec(
        &self,
        machine: u64,
        spec: ExecSpec,
    ) -> LocalBoxFuture<'static, Result<ExecParts, VmError>>;
    /// Freezes a machine's file system.
    fn freeze(&self, machine: u64) -> LocalBoxFuture<'static, Result<Id, VmError>>;
    /// Asks the cache.
    fn cache_lookup(
        &self,
        step: StepId,
        parent: Option<u64>,
    ) -> LocalBoxFuture<'static, Result<Option<Id>, VmError>>;
    /// Fills the cache.
    fn cache_store(
        &self,
        step: StepId,
        snapshot: u64,
    ) -> LocalBoxFuture<'static, Result<(), VmError>>;
}

/// A command that runs: its output, and how it ends.
pub type ExecParts = (
    LocalBoxStream<'static, Vec<u8>>,
    LocalBoxFuture<'static, Result<ExecStatus, VmError>>,
);

/// What a machine boots from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An image, with the source.
    Image(String),
    /// A snapshot, by its number.
    Snapshot(u64),
}

/// A machine or a snapshot in the backend's hands; tells its maker when it is dropped.
pub struct Id {
    number: u64,
    dropped: Option<Box<dyn FnOnce(u64)>>,
}

impl Id {
    /// Makes one; `dropped` is called with the number when the backend lets go of it.
    pub fn new(number: u64, dropped: impl FnOnce(u64) + 'static) -> Self {
        Self {
            number,
            dropped: Some(Box::new(dropped)),
        }
    }

    /// Returns the number under which the world knows it.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        if let Some(dropped) = self.dropped.take() {
            dropped(self.number);
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Id").field(&self.number).finish()
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<dyn World>>> = const { RefCell::new(None) };
}

/// Makes `world` this thread's, until the guard is dropped; the events of `tracing` go
/// there too.
pub fn enter(world: Rc<dyn World>) -> Entered {
    Entered {
        before: CURRENT.replace(Some(world)),
        _trace: tracing::subscriber::set_default(ToHost::default()),
    }
}

/// Leaves a world when it is dropped, for the one that was entered before.
pub struct Entered {
    before: Option<Rc<dyn World>>,
    _trace: tracing::subscriber::DefaultGuard,
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}

/// # Panics
/// Outside of a world.
pub(crate) fn current() -> Rc<dyn World> {
    CURRENT.with_borrow(Clone::clone).expect(
        "a backend talks to its host only in a component or in a test's simulated world: \
         run it with `hm_backend_testkit::Simulation`",
    )
}

/// Runs a backend's build in the world that this thread has entered, as the adapter does
/// in a component.
///
/// # Errors
/// What [`Backend::check`] refused with; the build's own end is inside.
pub async fn build<B: Backend>(
    request: RunRequest,
) -> Result<Result<BuildStatus, BackendError>, BackendError> {
    B::check(&request).await.map_err(crate::events::fit_error)?;
    Ok(build_with(request, B::run).await)
}

/// Runs `work` as if it were a backend's `run`.
///
/// # Errors
/// Those of `work`.
pub async fn build_with<F>(request: RunRequest, work: F) -> Result<BuildStatus, BackendError>
where
    F: AsyncFnOnce(RunRequest, EventSink, Cancellation) -> Result<BuildStatus, BackendError>,
{
    let sink = EventSink::new(crate::platform::EventWriter);
    let verdict = work(request, sink.clone(), Cancellation::new()).await;
    sink.close().await;
    verdict.map_err(crate::events::fit_error)
}

//! Natively, everything goes to the [world](crate::world) that a test has entered.

use futures::future::LocalBoxFuture;
use futures::stream::{LocalBoxStream, StreamExt};

use crate::bindings::hm::backend::control::CancelReason;
use crate::bindings::hm::backend::diagnostics::Severity;
use crate::bindings::hm::backend::events::BuildEvent;
use crate::bindings::hm::backend::source::TreeInfo;
use crate::bindings::hm::backend::types::StepId;
use crate::bindings::hm::backend::vm::{ExecSpec, ExecStatus, MachineOptions, VmError};
use crate::http::Failure;
use crate::http::wire::{Incoming, Outgoing};
use crate::world::{Id, Origin, current};

pub(crate) fn now() -> u64 {
    current().now()
}

pub(crate) async fn wait_for(nanoseconds: u64) {
    current().wait_for(nanoseconds).await;
}

pub(crate) async fn cancelled() -> CancelReason {
    current().cancelled().await
}

pub(crate) fn log(severity: Severity, message: &str) {
    current().log(severity, message);
}

/// The host's end of the stream of events.
pub(crate) struct EventWriter;

impl EventWriter {
    /// Writes events; false if nobody reads any more.
    pub(crate) async fn write_all(&mut self, events: Vec<BuildEvent>) -> bool {
        current().write_events(events).await
    }
}

/// Bytes that the host makes, and how they ended.
pub(crate) struct Bytes<E>(LocalBoxStream<'static, Result<Vec<u8>, E>>);

impl<E> Bytes<E> {
    pub(crate) fn new(stream: LocalBoxStream<'static, Result<Vec<u8>, E>>) -> Self {
        Self(stream)
    }

    /// Returns the next chunk; dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Result<Vec<u8>, E>> {
        self.0.next().await
    }
}

pub(crate) type HttpBytes = Bytes<Failure>;

pub(crate) async fn send(request: Outgoing) -> Result<Incoming, Failure> {
    current().send(request).await
}

pub(crate) async fn measure() -> Result<TreeInfo, String> {
    current().measure().await
}

/// The source's archive.
pub(crate) struct Archive {
    pub(crate) data: LocalBoxStream<'static, Vec<u8>>,
    pub(crate) done: LocalBoxFuture<'static, Result<TreeInfo, String>>,
}

impl Archive {
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        self.data.next().await
    }

    pub(crate) async fn done(self) -> Result<TreeInfo, String> {
        drop(self.data);
        self.done.await
    }
}

pub(crate) fn archive() -> Archive {
    let (data, done) = current().archive();
    Archive { data, done }
}

/// A machine of the world that it was made in.
pub(crate) struct Machine(Id);

/// A snapshot of the world that it was made in.
pub(crate) struct Snapshot(Id);

impl Machine {
    pub(crate) async fn boot_image(
        step: StepId,
        image: String,
        options: MachineOptions,
    ) -> Result<Self, VmError> {
        let origin = Origin::Image(image);
        current().boot(step, origin, options).await.map(Self)
    }

    pub(crate) async fn boot_snapshot(
        step: StepId,
        snapshot: &Snapshot,
        options: MachineOptions,
    ) -> Result<Self, VmError> {
        let origin = Origin::Snapshot(snapshot.0.number());
        current().boot(step, origin, options).await.map(Self)
    }

    pub(crate) fn id(&self) -> String {
        format!("machine-{}", self.0.number())
    }

    pub(crate) async fn run(&self, step: StepId) -> Result<ExecStatus, VmError> {
        current().run(self.0.number(), step).await
    }

    pub(crate) async fn exec(&self, spec: ExecSpec) -> Result<RunningExec, VmError> {
        let (output, status) = current().exec(self.0.number(), spec).await?;
        Ok(RunningExec { output, status })
    }

    pub(crate) async fn snapshot(&self) -> Result<Snapshot, VmError> {
        current().freeze(self.0.number()).await.map(Snapshot)
    }
}

impl Snapshot {
    pub(crate) fn id(&self) -> String {
        format!("snapshot-{}", self.0.number())
    }
}

pub(crate) async fn cache_lookup(
    step: StepId,
    parent: Option<&Snapshot>,
) -> Result<Option<Snapshot>, VmError> {
    let parent = parent.map(|snapshot| snapshot.0.number());
    let found = current().cache_lookup(step, parent).await?;
    Ok(found.map(Snapshot))
}

pub(crate) async fn cache_store(step: StepId, snapshot: &Snapshot) -> Result<(), VmError> {
    current().cache_store(step, snapshot.0.number()).await
}

/// A command that runs.
pub(crate) struct RunningExec {
    output: LocalBoxStream<'static, Vec<u8>>,
    status: LocalBoxFuture<'static, Result<ExecStatus, VmError>>,
}

impl RunningExec {
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        self.output.next().await
    }

    pub(crate) async fn status(self) -> Result<ExecStatus, VmError> {
        drop(self.output);
        self.status.await
    }
}

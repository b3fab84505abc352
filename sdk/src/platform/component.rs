//! In a component, everything goes to the host's imports.

use futures::future::LocalBoxFuture;
use wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};

use crate::bindings::hm::backend::control::{self, CancelReason};
use crate::bindings::hm::backend::diagnostics::{self, Severity};
use crate::bindings::hm::backend::events::BuildEvent;
use crate::bindings::hm::backend::source::{self, TreeInfo};
use crate::bindings::hm::backend::types::StepId;
use crate::bindings::hm::backend::vm::{
    self as raw, ExecSpec, ExecStatus, MachineOptions, VmError,
};

pub(crate) use http::{HttpBytes, send};

mod http;

/// Bytes taken from the host at once.
const CHUNK: usize = 64 * 1024;

pub(crate) fn now() -> u64 {
    wasip3::clocks::monotonic_clock::now()
}

pub(crate) async fn wait_for(nanoseconds: u64) {
    wasip3::clocks::monotonic_clock::wait_for(nanoseconds).await;
}

pub(crate) async fn cancelled() -> CancelReason {
    control::cancelled().await
}

pub(crate) fn log(severity: Severity, message: &str) {
    diagnostics::log(severity, message);
}

/// The host's end of the stream of events.
pub(crate) struct EventWriter(pub(crate) StreamWriter<BuildEvent>);

impl EventWriter {
    /// Writes events; false if nobody reads any more.
    pub(crate) async fn write_all(&mut self, events: Vec<BuildEvent>) -> bool {
        // What comes back was not taken.
        self.0.write_all(events).await.is_empty()
    }
}

/// A stream of bytes from the host. A read lives here and not in the task that began it:
/// one that is dropped half-way would take its bytes with it.
enum Reading {
    Idle(StreamReader<u8>),
    Busy(LocalBoxFuture<'static, (StreamReader<u8>, Option<Vec<u8>>)>),
    Over,
}

impl Reading {
    async fn next(&mut self) -> Option<Vec<u8>> {
        if matches!(self, Self::Idle(_))
            && let Self::Idle(reader) = std::mem::replace(self, Self::Over)
        {
            *self = Self::Busy(Box::pin(read(reader)));
        }
        let Self::Busy(read) = self else {
            return None;
        };
        let (reader, chunk) = read.await;
        *self = match chunk {
            Some(_) => Self::Idle(reader),
            None => Self::Over,
        };
        chunk
    }
}

async fn read(mut reader: StreamReader<u8>) -> (StreamReader<u8>, Option<Vec<u8>>) {
    loop {
        let (result, chunk) = reader.read(Vec::with_capacity(CHUNK)).await;
        match result {
            // The host may answer with nothing yet.
            StreamResult::Complete(_) if chunk.is_empty() => {}
            StreamResult::Complete(_) => return (reader, Some(chunk)),
            StreamResult::Dropped | StreamResult::Cancelled => return (reader, None),
        }
    }
}

pub(crate) async fn measure() -> Result<TreeInfo, String> {
    source::measure().await
}

/// The source's archive.
pub(crate) struct Archive {
    data: Reading,
    done: FutureReader<Result<TreeInfo, String>>,
}

impl Archive {
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        self.data.next().await
    }

    pub(crate) async fn done(self) -> Result<TreeInfo, String> {
        drop(self.data);
        self.done.await
    }

    /// Returns the host's stream, to be handed on, if nothing was read of it.
    fn into_stream(self) -> Option<StreamReader<u8>> {
        match self.data {
            Reading::Idle(reader) => Some(reader),
            Reading::Busy(_) | Reading::Over => None,
        }
    }
}

pub(crate) fn archive() -> Archive {
    let archive = source::archive();
    Archive {
        data: Reading::Idle(archive.data),
        done: archive.done,
    }
}

pub(crate) struct Machine(raw::Machine);

pub(crate) struct Snapshot(raw::Snapshot);

impl Machine {
    pub(crate) async fn boot_image(
        step: StepId,
        image: String,
        options: MachineOptions,
    ) -> Result<Self, VmError> {
        raw::Machine::boot_image(step, image, options)
            .await
            .map(Self)
    }

    pub(crate) async fn boot_snapshot(
        step: StepId,
        snapshot: &Snapshot,
        options: MachineOptions,
    ) -> Result<Self, VmError> {
        raw::Machine::boot_snapshot(step, &snapshot.0, options)
            .await
            .map(Self)
    }

    pub(crate) fn id(&self) -> String {
        self.0.id()
    }

    pub(crate) async fn run(&self, step: StepId) -> Result<ExecStatus, VmError> {
        self.0.run(step).await
    }

    pub(crate) async fn exec(&self, spec: ExecSpec) -> Result<RunningExec, VmError> {
        let running = self.0.exec(spec).await?;
        Ok(RunningExec {
            output: Reading::Idle(running.output),
            status: running.status,
        })
    }

    pub(crate) async fn snapshot(&self) -> Result<Snapshot, VmError> {
        self.0.snapshot().await.map(Snapshot)
    }
}

impl Snapshot {
    pub(crate) fn id(&self) -> String {
        self.0.id()
    }
}

pub(crate) async fn cache_lookup(
    step: StepId,
    parent: Option<&Snapshot>,
) -> Result<Option<Snapshot>, VmError> {
    let found = raw::cache_lookup(step, parent.map(|snapshot| &snapshot.0)).await?;
    Ok(found.map(Snapshot))
}

pub(crate) async fn cache_store(step: StepId, snapshot: &Snapshot) -> Result<(), VmError> {
    raw::cache_store(step, &snapshot.0).await
}

/// A command that runs.
pub(crate) struct RunningExec {
    output: Reading,
    status: FutureReader<Result<ExecStatus, VmError>>,
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

//! What runs a job: a machine, or a play of one.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::log::Log;

/// Runs jobs.
#[async_trait]
pub trait Workload: Send + Sync {
    /// Runs one job to its end, or until `job.stop`.
    async fn run(&self, job: JobRun, log: LogWriter) -> Ended;

    /// Is told that nothing of a build runs any more.
    async fn build_ended(&self, build: Uuid) {
        let _ = build;
    }

    /// Ends everything that is held.
    async fn close(&self) {}
}

/// A job to run.
#[derive(Debug, Clone)]
pub struct JobRun {
    /// The build's id.
    pub build: Uuid,
    /// The job's place in the build.
    pub index: usize,
    /// The step's key.
    pub key: String,
    /// For `sh -c`.
    pub command: String,
    /// What a root boots from.
    pub image: String,
    /// All that the plan sets.
    pub env: BTreeMap<String, String>,
    /// After it the job has timed out.
    pub timeout: Duration,
    /// The job whose file system it starts from.
    pub parent: Option<usize>,
    /// Whether other jobs start from what it leaves.
    pub has_heirs: bool,
    /// The source, a gzipped tar.
    pub archive: Bytes,
    /// The build's wish that everything stop.
    pub stop: CancellationToken,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Exited(i32),
    /// By a signal, for which the service has no code.
    Signaled,
    /// After its timeout.
    TimedOut,
    /// Because it was to stop.
    Stopped,
    /// There was no machine for it, or no longer: code and message.
    Lost(&'static str, String),
}

/// Where a job's output goes.
#[derive(Clone)]
pub struct LogWriter(pub(crate) Log);

impl LogWriter {
    /// Stores a chunk, usually a line with its end. 0 is standard output, 1 standard error,
    /// 2 about the log itself.
    pub fn write(&self, kind: u8, content: impl Into<Bytes>) {
        let now = Timestamp::now().as_nanosecond();
        self.0
            .push(kind, content.into(), i64::try_from(now).unwrap_or(i64::MAX));
    }
}

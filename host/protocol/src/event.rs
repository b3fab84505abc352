//! What happens while a build runs, in the form in which every reader gets it.
//!
//! One JSON line is one event; kinds and fields are the predecessor's, and what hm
//! adds is additive: `step` (index in the plan), `status`, `reason`, `observed`,
//! `partial`, and the kinds `notice` and `custom`.

mod lines;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use lines::LogLines;

use crate::outcome::{BuildRef, BuildStatus, StepStatus};
use crate::plan::StepId;

/// Something that happened. All text is clean: see `hm-exec`'s sequencer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BuildEvent {
    /// The first event of a local build; follows `BuildAccepted` where a service runs it.
    BuildStart {
        /// Of this `hm run`.
        run_id: Uuid,
        /// What will run.
        plan: PlanSummary,
        /// When the backend was started.
        #[schemars(with = "String", extend("format" = "date-time"))]
        started_at: Timestamp,
    },
    /// A service took the build.
    BuildAccepted {
        /// Which build.
        build: BuildRef,
        /// Where a person can watch it.
        watch_url: Option<String>,
    },
    /// The backend will see to this step, or has decided that it never runs.
    StepQueued {
        /// Stable within the run.
        step_id: Uuid,
        /// Index in the plan.
        step: StepId,
        /// The plan's key.
        key: String,
        /// Position inside the step's chain (as the predecessor had it).
        chain_idx: u32,
        /// Key of the `builds_in` parent.
        parent_key: Option<String>,
        /// Label, or the start of the command.
        display_name: String,
    },
    /// The step's command starts.
    StepStart {
        /// Stable within the run.
        step_id: Uuid,
        /// Index in the plan.
        step: StepId,
        /// What runs it: an engine, a node, a queue.
        runner: String,
        /// What a root step boots from.
        image: Option<String>,
        /// When.
        #[schemars(with = "String", extend("format" = "date-time"))]
        ts: Timestamp,
    },
    /// Lines that the step printed. On the wire one JSON line is one line of output.
    StepLog(LogLines),
    /// The result of an earlier build stands in.
    StepCacheHit {
        /// Stable within the run.
        step_id: Uuid,
        /// Index in the plan.
        step: StepId,
        /// The cache key.
        key: String,
        /// The snapshot.
        tag: String,
    },
    /// The step is over; nothing of it follows.
    StepEnd {
        /// Stable within the run.
        step_id: Uuid,
        /// Index in the plan.
        step: StepId,
        /// 128 + n for signal n, 124 for a step timeout, 0 for a cache hit, null where nothing ran.
        exit_code: Option<i32>,
        /// Wall time from start to end; 0 where nothing ran.
        duration_ms: u64,
        /// What the step left behind, if it was kept.
        snapshot: Option<String>,
        /// How it ended.
        status: StepStatus,
        /// Why, where the status alone does not say it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// True if the host itself saw the command end.
        observed: bool,
        /// When.
        #[schemars(with = "String", extend("format" = "date-time"))]
        ts: Timestamp,
    },
    /// A chain stopped at a failed step.
    ChainFailed {
        /// Number of the chain.
        chain_idx: u32,
        /// The step.
        failed_step_id: Uuid,
        /// Its key.
        failed_step_key: String,
        /// Its exit code.
        exit_code: i32,
        /// One sentence.
        message: String,
        /// When.
        #[schemars(with = "String", extend("format" = "date-time"))]
        ts: Timestamp,
    },
    /// Progress that is not a step's output.
    Notice {
        /// The step it is about, if any.
        step_id: Option<Uuid>,
        /// Its index.
        step: Option<StepId>,
        /// How bad it is.
        level: Level,
        /// One line.
        message: String,
        /// When.
        #[schemars(with = "String", extend("format" = "date-time"))]
        ts: Timestamp,
    },
    /// Backend-specific data for machines.
    Custom {
        /// What it is.
        name: String,
        /// Any JSON.
        data: serde_json::Value,
    },
    /// The last event.
    BuildEnd {
        /// Of the `hm` process.
        exit_code: i32,
        /// From start to end.
        duration_ms: u64,
        /// The verdict.
        status: BuildStatus,
        /// Why, where the steps alone do not say it: a limit, a broken backend.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// The shape of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanSummary {
    /// Steps.
    pub step_count: usize,
    /// Chains, as [`crate::graph::PlanGraph::chains`] counts them.
    pub chain_count: u32,
    /// Runner of a step that names none.
    pub default_runner: String,
}

/// A channel of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl LogStream {
    /// Returns the word used in JSON lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// How bad a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// Something may be wrong.
    Warning,
    /// Something is wrong.
    Error,
}

impl BuildEvent {
    /// Appends the event as JSON, one object a line: one line, or for
    /// [`BuildEvent::StepLog`] one per line of output.
    pub fn write_json_lines(&self, out: &mut Vec<u8>) {
        match self {
            Self::StepLog(lines) => lines.write_json_lines(out),
            event => {
                serde_json::to_writer(&mut *out, event)
                    .expect("events have string keys and a Vec takes every write");
                out.push(b'\n');
            }
        }
    }
}

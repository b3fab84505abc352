//! How a build and its steps ended.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How one step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Its command ended with 0.
    Passed,
    /// Its command ended with another code, or by a signal.
    Failed,
    /// It never ran, because of another step.
    Skipped,
    /// It was stopped, or never ran, because the build ends.
    Cancelled,
    /// The result of an earlier build stands in.
    CacheHit,
    /// It ran longer than its own timeout.
    TimedOut,
}

impl StepStatus {
    /// Returns true if steps that wait for this one may start.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Passed | Self::CacheHit)
    }

    /// Returns the word used in JSON lines and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::CacheHit => "cache_hit",
            Self::TimedOut => "timed_out",
        }
    }
}

/// How a build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BuildStatus {
    /// Every step passed or was served from the cache.
    Passed,
    /// Some step failed or timed out.
    Failed,
    /// A person or a signal ended it.
    Cancelled,
    /// It ran longer than its own timeout.
    TimedOut,
}

impl BuildStatus {
    /// Returns the exit code of `hm run` for this verdict.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::TimedOut => 124,
            Self::Cancelled => 130,
        }
    }

    /// Returns the word used in JSON lines and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
        }
    }
}

/// Which build this is, to the person and to the service that runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildRef {
    /// Of this `hm run`.
    pub run_id: Uuid,
    /// As the service counts; none for a local build.
    pub number: Option<u64>,
    /// The organisation's slug at the service.
    pub org: Option<String>,
    /// The pipeline's slug.
    pub pipeline: String,
}

/// The whole build, when it has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildOutcome {
    /// Which build.
    pub build: BuildRef,
    /// The verdict.
    pub status: BuildStatus,
    /// Why, where the steps alone do not say it.
    pub reason: Option<String>,
    /// One per step of the plan, in plan order.
    pub steps: Vec<StepResultSummary>,
    /// When the backend was started.
    pub started_at: Timestamp,
    /// When the last event had been taken.
    pub finished_at: Timestamp,
    /// Where a person can watch the build, if anywhere.
    pub watch_url: Option<String>,
    /// True if the service took the build and nobody watched it (`--no-watch`).
    pub submitted: bool,
}

/// How one step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepResultSummary {
    /// As in the events.
    pub step_id: Uuid,
    /// The plan's key.
    pub key: String,
    /// How it ended.
    pub status: StepStatus,
    /// Of the command: 128 + n for signal n, 124 for a step timeout, 0 for a cache
    /// hit, none where nothing ran.
    pub exit_code: Option<i32>,
    /// Wall time from start to end, in milliseconds; 0 where nothing ran.
    pub duration_ms: u64,
    /// True if the host itself saw the command end.
    pub observed: bool,
}

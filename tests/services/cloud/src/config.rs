//! How the service is set up.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;

use crate::{Fault, Workload};

/// Prefixes that the service answers under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Versions {
    /// `/api/v0` alone, as the public source of the server has it.
    V0,
    /// `/api/v1` alone.
    V1,
    /// Both, each with the fields of both.
    #[default]
    Both,
}

impl Versions {
    pub(crate) fn has(self, version: u8) -> bool {
        match self {
            Self::V0 => version == 0,
            Self::V1 => version == 1,
            Self::Both => version <= 1,
        }
    }
}

/// What the real service does now and then, or does on one of its days.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Oddities {
    /// Silence before an idle tick of a log stream, in milliseconds; `done` comes only at
    /// one. The server's 15 s by default.
    pub idle_ms: u64,
    /// Seconds that a log token is good for.
    pub log_token_seconds: u64,
    /// Seconds by which the service's clock is ahead; may be negative.
    pub clock_skew_seconds: i64,
    /// A log stream is cut, without `done`, after this many chunks.
    pub cut_streams_after: Option<usize>,
    /// The last chunk of a history comes once more as a chunk.
    pub overlapping_history: bool,
    /// Bytes a second that all log streams have together, as over a link; no limit of its own
    /// by default.
    pub log_bytes_per_second: Option<NonZeroU64>,
    /// Log streams are refused with 403.
    pub forbid_streams: bool,
    /// Passed jobs have an exit code. The server's runner reports none.
    pub exit_code_on_pass: bool,
    /// Jobs and builds pass through states that no client knows.
    pub unknown_states: bool,
    /// A cancelled build stays `canceling` whatever its jobs do.
    pub endless_canceling: bool,
    /// A cursor leads to the first page.
    pub ignored_cursor: bool,
    /// Makes no job for any build, as for an empty plan.
    pub no_jobs: bool,
    /// Cents on the organization's account; at 0 or below builds are refused.
    pub balance_cents: i64,
}

impl Default for Oddities {
    fn default() -> Self {
        Self {
            idle_ms: 15_000,
            log_token_seconds: 3600,
            clock_skew_seconds: 0,
            cut_streams_after: None,
            overlapping_history: false,
            log_bytes_per_second: None,
            forbid_streams: false,
            exit_code_on_pass: false,
            unknown_states: false,
            endless_canceling: false,
            ignored_cursor: false,
            no_jobs: false,
            balance_cents: 2_500,
        }
    }
}

impl Oddities {
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms.max(1))
    }

    pub(crate) fn skew(&self) -> SignedDuration {
        SignedDuration::from_secs(self.clock_skew_seconds)
    }
}

/// How the service is set up.
#[derive(Clone)]
pub struct Config {
    /// On loopback; 0 is any free one.
    pub port: u16,
    /// The bearer that is let in.
    pub token: String,
    /// The only organization, and the user's own.
    pub organization: String,
    /// Which prefixes there are.
    pub versions: Versions,
    /// What is odd.
    pub oddities: Oddities,
    /// What breaks.
    pub faults: Vec<Fault>,
    /// What runs jobs.
    pub workload: Arc<dyn Workload>,
    /// Jobs at once, over all builds.
    pub jobs: usize,
}

impl Config {
    /// Returns the server's ways, on any free port, for organization `acme`.
    pub fn new(token: impl Into<String>, workload: Arc<dyn Workload>) -> Self {
        Self {
            port: 0,
            token: token.into(),
            organization: "acme".into(),
            versions: Versions::default(),
            oddities: Oddities::default(),
            faults: Vec::new(),
            workload,
            jobs: 16,
        }
    }
}

//! What a backend is asked to do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use hm_plugin_protocol::Plan;
use uuid::Uuid;

use super::{KeyLog, Secrets};

/// One build to run.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Names this run in events, in its record and at a service.
    pub run_id: Uuid,
    /// The checked pipeline.
    pub plan: Plan,
    /// The repository's root: what becomes `/workspace`.
    pub repo_root: PathBuf,
    /// Laid over every step's environment.
    pub env: BTreeMap<String, String>,
    /// Which commit this is, for services and people.
    pub source: SourceMeta,
    /// How to run it.
    pub options: RunOptions,
    /// `[backends.NAME.settings]` of the configuration, flattened to `a.b`.
    pub settings: Vec<(String, String)>,
    /// What variables stand for whose value is `hm-secret:NAME`. The backend is handed the
    /// names; the values go to the steps' commands, and are hidden in all output.
    pub secrets: Secrets,
}

/// What the version control says of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMeta {
    /// Branch, or `HEAD`.
    pub branch: String,
    /// Commit id; 40 zeros if unknown.
    pub commit: String,
    /// The user's words for this run.
    pub message: Option<String>,
    /// `owner/repo`; none without a git remote.
    pub repo_name: Option<String>,
}

impl Default for SourceMeta {
    fn default() -> Self {
        Self {
            branch: "HEAD".into(),
            commit: "0".repeat(40),
            message: None,
            repo_name: None,
        }
    }
}

/// How to run a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// Neither use nor keep cached results.
    pub no_cache: bool,
    /// Budget of the build, instead of the plan's.
    pub timeout: Option<Duration>,
    /// False: submit and return.
    pub watch: bool,
    /// A failure stops only what depends on it.
    pub keep_going: bool,
    /// Steps at once, at least 1.
    pub parallelism: u32,
    /// Takes what is found out about cache keys.
    pub keys: KeyLog,
}

impl Default for RunOptions {
    /// Watches, stops at the first failure, one step a processor.
    fn default() -> Self {
        let parallelism = std::thread::available_parallelism().map_or(4, |n| n.get() as u32);
        Self {
            no_cache: false,
            timeout: None,
            watch: true,
            keep_going: false,
            parallelism,
            keys: KeyLog::default(),
        }
    }
}

/// What a backend says that it honours; all false by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `-j`.
    pub honors_parallelism: bool,
    /// `--keep-going`.
    pub honors_keep_going: bool,
    /// Submits and watches; the work runs elsewhere.
    pub is_observer: bool,
    /// Says which results come from a cache.
    pub reports_cache_hits: bool,
    /// `--no-watch`.
    pub supports_no_watch: bool,
    /// Gives a link to watch the build at.
    pub provides_watch_url: bool,
    /// Ends a build that runs over its time by itself.
    pub enforces_timeout: bool,
}

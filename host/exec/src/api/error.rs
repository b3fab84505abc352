//! Why there is no build, or why it ended without a verdict of its own.

use crate::component::{LimitHit, LoadError};

/// Result of everything that a backend does.
pub type Result<T> = std::result::Result<T, BackendError>;

/// A failure that is not the build's own verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The plan or the submission was refused.
    #[error("the build was refused ({code}): {message}")]
    Rejected {
        /// Short, for programs.
        code: String,
        /// For the user.
        message: String,
    },
    /// The service wants a login.
    #[error("not logged in: {0}")]
    Unauthorized(String),
    /// The service does not have what was asked for.
    #[error("not found: {0}")]
    NotFound(String),
    /// Nothing to run on: no engine, no daemon, no image, no service.
    #[error("{0}")]
    Unavailable(String),
    /// A connection failed.
    #[error("connection failed: {0}")]
    Transport(String),
    /// The logs could not be read to their end.
    #[error("log stream broke off: {0}")]
    LogStream(String),
    /// The source tree is over the service's limit.
    #[error("the source tree is too large: {observed_bytes} bytes, at most {cap_bytes}")]
    SourceTooLarge {
        /// Of the archive.
        observed_bytes: u64,
        /// Of the service.
        cap_bytes: u64,
        /// Largest entries first, with their bytes.
        largest_paths: Vec<(String, u64)>,
    },
    /// The build's time was over before the backend had taken it.
    #[error("the build's {} s were over before the backend had taken it", .0.as_secs_f64())]
    TimedOut(std::time::Duration),
    /// A capability that the backend needs was not granted.
    #[error("permission denied: {0}")]
    Denied(String),
    /// It did not pass, and was refused what it asked for on the way.
    #[error("backend `{name}` was refused {}", list(.refused, .said.as_deref()))]
    Refused {
        /// Of the backend.
        name: String,
        /// What was refused, each subject once.
        refused: Vec<Refused>,
        /// What the backend made of it.
        said: Option<String>,
    },
    /// The build was cancelled before it began.
    #[error("cancelled")]
    Cancelled,
    /// The machines could not be had; carries the remedy in its chain.
    #[error("no machine could be started")]
    Vm(#[source] hm_vm::VmError),
    /// The file is no backend that this host can run.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The backend itself failed its contract.
    #[error("backend `{name}` {broken}")]
    Broken {
        /// Of the backend.
        name: String,
        /// In which way.
        broken: Broken,
    },
    /// Anything else that the backend reported.
    #[error("the backend failed: {0}")]
    Other(String),
}

/// Something that a backend was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What, and why.
    pub what: String,
    /// What would allow it.
    pub remedy: Option<String>,
}

fn list(refused: &[Refused], said: Option<&str>) -> String {
    let mut text: Vec<_> = refused.iter().map(|refused| refused.what.clone()).collect();
    text.extend(said.map(|said| format!("the backend then said: {said}")));
    text.join("\n")
}

/// How a backend failed its contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It did what the order table or the verdict rule forbids.
    #[error("broke the protocol: {0}")]
    Protocol(String),
    /// It went over a limit; names the limit and its value.
    #[error("went over a limit: {0}")]
    Limit(LimitHit),
    /// It took longer for something than it may.
    #[error("did not answer: {what} took longer than the limit {limit}")]
    Slow {
        /// What took so long.
        what: String,
        /// How long it may take.
        limit: LimitHit,
    },
    /// Its code trapped or panicked.
    #[error("crashed: {0}")]
    Trap(String),
    /// It said nothing where the contract wants an answer.
    #[error("did not answer: {0}")]
    Silent(String),
    /// The host itself failed while running it.
    #[error("could not be run on: {0}")]
    Host(String),
}

impl BackendError {
    /// Returns the exit code of `hm run` (design, "Verdict and exit codes").
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::SourceTooLarge { .. } => 2,
            Self::Unauthorized(_) => 3,
            Self::Unavailable(_) | Self::Transport(_) | Self::Vm(_) => 4,
            Self::NotFound(_) | Self::LogStream(_) => 5,
            Self::Denied(_) | Self::Refused { .. } => 6,
            Self::Rejected { .. } => 7,
            Self::Load(error) => error.exit_code(),
            Self::Broken { .. } | Self::Other(_) => 8,
            Self::TimedOut(_) => 124,
            Self::Cancelled => 130,
        }
    }

    /// True if this is what the backend itself reported, and not what the host found.
    pub(crate) fn is_the_backends_word(&self) -> bool {
        matches!(
            self,
            Self::Rejected { .. }
                | Self::Unauthorized(_)
                | Self::NotFound(_)
                | Self::Unavailable(_)
                | Self::Transport(_)
                | Self::LogStream(_)
                | Self::Denied(_)
                | Self::Other(_)
        )
    }

    /// Returns the limit that the backend ran into, if that is why it ended.
    pub fn limit(&self) -> Option<&LimitHit> {
        match self {
            Self::Broken {
                broken: Broken::Limit(limit) | Broken::Slow { limit, .. },
                ..
            }
            | Self::Load(LoadError::Limit { limit, .. }) => Some(limit),
            Self::Load(LoadError::Worker { limit, .. }) => limit.as_deref(),
            _ => None,
        }
    }

    /// Returns what to do next, if this error knows.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Vm(error) => error.remedy(),
            Self::Load(error) => error.remedy(),
            Self::Refused { refused, .. } => {
                let remedies: Vec<_> = refused.iter().filter_map(|r| r.remedy.clone()).collect();
                (!remedies.is_empty()).then(|| remedies.join("\n"))
            }
            Self::SourceTooLarge { largest_paths, .. } if !largest_paths.is_empty() => {
                let lines: Vec<_> = largest_paths
                    .iter()
                    .map(|(path, bytes)| format!("  {bytes:>12}  {path}"))
                    .collect();
                Some(format!(
                    "what is not needed can be named in `.hmignore`; the largest, in bytes:\n{}",
                    lines.join("\n")
                ))
            }
            Self::Broken { broken: Broken::Trap(_) | Broken::Protocol(_) | Broken::Silent(_), .. } => Some(
                "this is a fault of the backend, not of your pipeline; `hm run -v` shows what it logged".to_owned(),
            ),
            _ => None,
        }
    }
}

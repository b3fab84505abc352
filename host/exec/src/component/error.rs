//! Why a file is not a backend that this host can run.

use std::path::PathBuf;

use super::{Interface, LimitHit, WorkerEnd};
use crate::sequencer::clean::one_line;

/// A component that could not be loaded. Nothing of it has run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file could not be read.
    #[error("cannot read the backend `{}`", one_line(&.path.to_string_lossy()))]
    Read {
        /// As typed.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is something else, and which.
    #[error("`{name}` is {what}, not a component")]
    NotAComponent {
        /// Path or built-in name.
        name: String,
        /// "a core module", "WebAssembly text", …
        what: String,
    },
    /// Over the limit on files.
    #[error("`{name}` is larger than {limit} bytes, the most that a backend may be")]
    TooLarge {
        /// Path or built-in name.
        name: String,
        /// In bytes.
        limit: u64,
    },
    /// It is no valid component, or one of a kind that hm does not take.
    #[error("`{name}` is no valid component: {reason}")]
    Invalid {
        /// Path or built-in name.
        name: String,
        /// In the reader's words.
        reason: String,
    },
    /// The process that reads or compiles it did not come to an end.
    #[error("`{name}` could not be {what}: the process for it {why}")]
    Worker {
        /// Path or built-in name.
        name: String,
        /// "read" or "compiled".
        what: &'static str,
        /// How it ended.
        why: WorkerEnd,
        /// The limit that it most likely ran into, if that can be raised.
        limit: Option<Box<LimitHit>>,
    },
    /// It wants more than it may have, before anything of it runs.
    #[error("`{name}` went over a limit before it began: {limit}")]
    Limit {
        /// Path or built-in name.
        name: String,
        /// The limit and its value.
        limit: LimitHit,
    },
    /// It could not be compiled.
    #[error("`{name}` could not be compiled: {reason}")]
    Compile {
        /// Path or built-in name.
        name: String,
        /// In the engine's words.
        reason: String,
    },
    /// It does not export the contract.
    #[error("`{name}` is a component, but no backend: it does not export {missing}")]
    NotABackend {
        /// Path or built-in name.
        name: String,
        /// The interface with its version.
        missing: String,
    },
    /// It imports something that no grant can give.
    #[error(
        "`{name}` imports {import}, which hm does not offer; no grant can add it\noffered: {offered}"
    )]
    UnknownImport {
        /// Path or built-in name.
        name: String,
        /// The import.
        import: String,
        /// All that is offered, for people.
        offered: String,
    },
    /// It asks for more than was granted.
    #[error("backend `{name}` has no grant for {}", names(.missing))]
    NotGranted {
        /// Path or built-in name.
        name: String,
        /// `sha256:` and 64 hex digits.
        digest: String,
        /// What is missing.
        missing: Vec<Interface>,
    },
    /// Its types are not those of the contract.
    #[error("`{name}` does not fit the interface of this hm: {reason}")]
    Mismatch {
        /// Path or built-in name.
        name: String,
        /// In the engine's words.
        reason: String,
    },
    /// The engine itself could not be set up.
    #[error("the WebAssembly engine could not be set up: {0}")]
    Engine(String),
}

fn names(interfaces: &[Interface]) -> String {
    interfaces
        .iter()
        .map(|i| format!("`{}`", i.name()))
        .collect::<Vec<_>>()
        .join(", ")
}

impl LoadError {
    /// Returns the exit code of `hm run`: 6 where a grant is missing, 2 for a file that
    /// cannot be read, else 8.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::NotGranted { .. } => 6,
            Self::Read { .. } => 2,
            _ => 8,
        }
    }

    /// Returns what to do next, if this error knows.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::NotGranted {
                digest, missing, ..
            } => {
                let flag = |interface: &Interface| match interface {
                    Interface::Http => " --http PATTERN".to_owned(),
                    other => format!(" --{}", other.name()),
                };
                let flags: String = missing.iter().map(flag).collect();
                Some(format!("to allow it: `hm backend grant {digest}{flags}`"))
            }
            Self::NotAComponent { what, .. } if what.contains("core module") => {
                Some("link it with `wasm-component-ld`, or build it with the SDK".to_owned())
            }
            _ => None,
        }
    }
}

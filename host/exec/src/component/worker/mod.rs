//! Reading and compiling a stranger's bytes, in a process of its own.
//!
//! A file of some kilobytes can abort the process that parses it, and compiling has no
//! bound on time or memory (reference `sandbox`, section 1). So neither happens in the
//! process that holds the user's build: this program is executed again with
//! [`INSPECT`] or [`COMPILE`] in its last argument, reads the bytes from its standard
//! input, and answers on its standard output. It has no environment and hard limits; what
//! it answers is checked like anything that comes from outside.
//!
//! [`child`] is that process, [`parent`] the side that starts it.

mod child;
mod fit;
mod parent;
mod report;

use std::time::Duration;

use super::Limits;

pub use child::worker_main;
pub use parent::WorkerEnd;
pub(super) use parent::{Worker, WorkerError};
pub(super) use report::Report;
#[cfg(feature = "internals")]
pub(super) use report::read;

/// Argument of the process that reads a component and lists what it is.
const INSPECT: &str = "__inspect";
/// Argument of the process that compiles; what it may use follows.
const COMPILE: &str = "__compile";

/// First bytes of every answer, so that a program that does not know the arguments is told
/// from one that does.
const MAGIC: &[u8; 8] = b"hm-work1";
/// Follows [`MAGIC`] before what was asked for.
const DONE: u8 = 0;
/// Follows [`MAGIC`] before a sentence that says why the bytes are refused.
const REFUSED: u8 = 1;

/// What a worker is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// Validate, list imports and exports, and hold the types of imports against the host's.
    /// Generates no code of the component's.
    Inspect,
    /// Compile to machine code.
    Compile,
}

impl Job {
    /// Returns what reading may use: no more than a file needs that can be compiled at all
    /// (reference `sandbox`, section 3).
    fn reading() -> Budget {
        Budget {
            wall: Duration::from_secs(5),
            memory_bytes: 512 << 20,
            answer_bytes: 1 << 20,
        }
    }

    /// Returns what compiling may use.
    fn compiling(limits: &Limits) -> Budget {
        Budget {
            wall: limits.compile,
            memory_bytes: limits.compile_bytes,
            answer_bytes: 256 << 20,
        }
    }

    /// Returns the last argument of the process that does this.
    fn argument(self, budget: &Budget) -> String {
        match self {
            Self::Inspect => INSPECT.to_owned(),
            Self::Compile => {
                let (wall, memory) = (budget.wall.as_millis(), budget.memory_bytes);
                format!("{COMPILE}={wall},{memory}")
            }
        }
    }

    /// Returns the job of an [`argument`](Self::argument), and what it may use.
    fn of(argument: &str) -> Option<(Self, Budget)> {
        if argument == INSPECT {
            return Some((Self::Inspect, Self::reading()));
        }
        let (wall, memory) = argument
            .strip_prefix(COMPILE)?
            .strip_prefix('=')?
            .split_once(',')?;
        let limits = Limits {
            compile: Duration::from_millis(wall.parse().ok()?),
            compile_bytes: memory.parse().ok()?,
            ..Limits::default()
        };
        Some((Self::Compile, Self::compiling(&limits)))
    }
}

/// Hard limits of a worker.
#[derive(Debug, Clone, Copy)]
struct Budget {
    wall: Duration,
    /// What it may write to, beside its stack.
    memory_bytes: u64,
    answer_bytes: usize,
}

impl Budget {
    /// Returns the processor time of all its threads together.
    fn cpu(&self) -> Duration {
        self.wall.saturating_mul(2)
    }
}

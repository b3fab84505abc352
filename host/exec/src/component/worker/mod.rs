//! Reading and compiling a stranger's bytes, in a process of its own.
//!
//! A file of some kilobytes can abort the process that parses it, and compiling has no
//! bound on time or memory (reference `sandbox`, section 1). So neither happens in the
//! process that holds the user's build: this program is executed again with
//! [`INSPECT`] or [`COMPILE`] as its last argument, reads the bytes from its standard
//! input, and answers on its standard output. It has no environment and hard limits; what
//! it answers is checked like anything that comes from outside.
//!
//! [`child`] is that process, [`parent`] the side that starts it.

mod child;
mod parent;
mod report;

use std::time::Duration;

pub use child::worker_main;
pub use parent::WorkerEnd;
pub(super) use parent::{Worker, WorkerError};
pub(super) use report::Report;
#[cfg(feature = "internals")]
pub(super) use report::read;

/// Argument of the process that reads a component and lists what it is.
const INSPECT: &str = "__inspect";
/// Argument of the process that compiles.
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
    /// Validate, and list imports and exports. Generates no code.
    Inspect,
    /// Compile to machine code.
    Compile,
}

impl Job {
    fn argument(self) -> &'static str {
        match self {
            Self::Inspect => INSPECT,
            Self::Compile => COMPILE,
        }
    }

    /// Returns what the worker may use (reference `sandbox`, sections 3 and 6).
    fn budget(self) -> Budget {
        match self {
            Self::Inspect => Budget {
                wall: Duration::from_secs(5),
                cpu: Duration::from_secs(10),
                memory_bytes: 512 << 20,
                answer_bytes: 1 << 20,
            },
            Self::Compile => Budget {
                wall: Duration::from_secs(60),
                cpu: Duration::from_secs(120),
                memory_bytes: 2 << 30,
                answer_bytes: 256 << 20,
            },
        }
    }
}

/// Hard limits of a worker.
#[derive(Debug, Clone, Copy)]
struct Budget {
    wall: Duration,
    /// Of all its threads together.
    cpu: Duration,
    /// Address space.
    memory_bytes: u64,
    answer_bytes: usize,
}

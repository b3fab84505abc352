//! Components: bytes to something that can run.
//!
//! A file goes through [`Runtime`] in three steps, between which its user can be asked:
//! [`Runtime::read`] gives it a digest, [`Runtime::examine`] tells what it asks for, and
//! [`Runtime::compile`] turns it into code. Bytes are parsed and compiled by a process of
//! its own ([`worker`]); code that was compiled once is kept in a sealed cache
//! ([`code_cache`]). [`ComponentBackend`] is a loaded component with what was granted to it.

mod backend;
pub(crate) mod bindings;
mod code_cache;
mod engine;
mod error;
mod file;
mod inspection;
mod limits;
mod linking;
mod runtime;
mod worker;

pub use backend::ComponentBackend;
pub use code_cache::CodeCache;
pub(crate) use engine::STACK_BYTES;
pub use error::LoadError;
pub use file::{ComponentFile, ComponentSource};
pub use inspection::{Author, Inspection, Interface, Tool};
pub(crate) use limits::Limiter;
pub use limits::{LimitHit, LimitKey, Limits, Unit};
pub(crate) use linking::Ready;
pub use runtime::{Examined, LoadedComponent, Runtime, RuntimeConfig};
pub use worker::{WorkerEnd, worker_main};

/// Reads a component's bytes in this process.
#[cfg(feature = "internals")]
pub(crate) fn read_report(bytes: &[u8]) -> Result<(), String> {
    worker::read(bytes).map(drop)
}

//! Components: bytes to something that can run.
//!
//! [`Runtime`] holds the engine of the process and the cache of compiled code;
//! [`Runtime::load`] reads a component and lists what it asks for before anything of it
//! runs; [`ComponentBackend`] is a loaded component with what was granted to it.

mod backend;
pub(crate) mod bindings;
mod code_cache;
mod error;
mod inspection;
mod limits;
mod linking;
mod runtime;

pub use backend::ComponentBackend;
pub use code_cache::CodeCache;
pub use error::LoadError;
pub use inspection::{Author, Inspection, Interface};
pub(crate) use limits::Limiter;
pub use limits::Limits;
pub(crate) use linking::Ready;
pub(crate) use runtime::TICK;
pub use runtime::{ComponentSource, LoadedComponent, Runtime, RuntimeConfig};

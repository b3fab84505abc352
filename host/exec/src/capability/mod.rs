//! What a component can do to the world: one file or folder an interface.
//!
//! [`State`] is what the store of a build holds. It has short-lived access to the guest's
//! tables and a shared [`Session`](crate::session::Session) that does the work.

mod bytestream;
mod control;
mod diagnostics;
mod grants;
pub(crate) mod http;
mod printed;
pub(crate) mod source;
mod state;
pub mod vm;

pub use grants::{Grants, ImageMap, ImagePolicy, SourceGrant, VmGrant};
pub(crate) use state::State;

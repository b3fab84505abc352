//! The execution backend `local`: schedules a plan's steps onto machines.
//!
//! A component like a stranger's: it knows the plan and the `vm` interface, and nothing
//! of the host. [`scheduler`] decides, [`driver`] acts, [`world`] is what it acts on.

pub mod driver;
pub mod graph;
pub mod scheduler;
pub mod world;

mod backend;
mod machines;
mod wording;

pub use backend::Local;

hm_backend_sdk::export!(Local);

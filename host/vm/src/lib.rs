//! Machines, snapshots, the frozen source tree and the registry that outlives a run.
//!
//! Knows nothing of pipelines or components: it is handed commands, image names and
//! cache keys. [`Subsystem`] is the way in; [`VmBackend`] is what an engine implements.

pub mod backend;
pub mod bundle;
mod digest;
pub mod docker;
pub mod error;
pub mod image;
pub mod probe;
pub mod registry;
pub mod sandbox;
pub mod source;
pub mod state;
pub mod subsystem;

pub use backend::{
    Base, BootSpec, ExecSpec, ExecStatus, Execution, Fetching, LayerRecord, Machine,
    MachineOptions, Network, Output, Progress, Snapshot, SnapshotRecord, Support, VmBackend,
};
pub use error::VmError;
pub use probe::Probe;
pub use registry::BuildGuard;
pub use source::{FreezeOptions, FrozenSource};
pub use state::StateDir;
pub use subsystem::{CacheClaim, RestoreFrom, SaveTo, Subsystem, SubsystemConfig};

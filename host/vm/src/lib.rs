//! Machines, snapshots, the frozen source tree and the registry that outlives a run.
//!
//! Knows nothing of pipelines or components: it is handed commands, image names and
//! cache keys. [`Subsystem`] is the way in; [`VmBackend`] is what an engine implements.

pub mod backend;
pub mod error;

pub use backend::{
    Base, BootSpec, ExecSpec, ExecStatus, Execution, LayerRecord, Machine, MachineOptions, Network, Output, Snapshot,
    SnapshotRecord, Support, VmBackend,
};
pub use error::VmError;

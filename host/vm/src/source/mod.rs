//! The source tree, frozen for a build.
//!
//! Each worktree has a store of layers: a base with copies of all files, and on it one
//! delta a build in which something changed. A build costs a walk and a comparison, and
//! gets its tree as lower layers of an overlay, so a machine costs nothing more for a
//! large tree than for an empty one.
//!
//! A layer is a folder that contains `workspace/`, laid out as a layer of a machine's
//! root file system: removed entries are character devices 0/0, and folders that hide
//! what is below carry the `opaque` attribute of the overlay's flavour.

pub(crate) mod archive;
mod changes;
mod copy;
mod freeze;
mod frozen;
mod layer;
mod manifest;
mod options;
mod rules;
mod stats;
mod store;
mod sweep;
mod walk;

pub use freeze::freeze;
pub use frozen::{EntryKind, FrozenSource, SourceEntry};
pub use options::{Flavour, FreezeOptions};
pub use stats::{LeftOut, Part, SourceStats};
pub(crate) use sweep::{mark_synced, remove_stale, unsynced};

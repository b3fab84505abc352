//! What outlives a run: kept snapshots by key, who uses them, who builds them.
//!
//! One SQLite database in WAL mode, shared by all `hm` processes of a user. Every call is
//! one short transaction (0.01 to 0.1 ms; up to 5 s behind another writer), so callers on
//! async threads go through [`Subsystem`](crate::Subsystem), which moves them off.
//!
//! - A snapshot's row names its layers; a layer lives as long as a row names it.
//! - A lease ties a row to a living process (an *owner*), and lasts as long as the owner:
//!   what a run has seen is not taken away from under it.
//! - An owner lives as long as its lock file is locked. Process ids are not trusted, as
//!   they are used again.

mod building;
mod database;
mod eviction;
mod owner;
mod schema;
mod snapshots;

pub(crate) use building::Claimed;
pub use building::{BuildGuard, Claim, Waiting};
pub use database::Registry;
pub use eviction::Removed;
pub use snapshots::CacheEntry;
pub(crate) use snapshots::Found;

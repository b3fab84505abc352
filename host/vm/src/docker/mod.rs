//! The engine for a Docker daemon, or another that speaks its interface (Podman's service).
//!
//! ```text
//! boot ──► nothing yet
//! first command, the last too ──► create, attach, start, wait: one container, whose first
//!                                 process stands around the command
//! first of several            ──► create, attach, start: a container whose first process is
//!                                 handed each command, or an exec for one that it cannot take
//! snapshot ──► commit, if anything but the workspace changed; the workspace's upper is frozen
//! ```
//!
//! - **Source and workspace**: `/workspace` is a volume that the daemon mounts as an overlay:
//!   the frozen source lowest, what steps wrote above it, an empty upper on top. It is no
//!   part of a commit, so that what is kept holds what steps wrote and never the source.
//!   Uppers are volumes too: the daemon makes and removes them, so that nobody but the daemon
//!   has to be root. Where the daemon does not see this machine's files (it is on another
//!   one, or in a virtual machine), the source is sent to a volume of its own, once a build.
//! - **Shell scripts** stand around each command (`command.sh`, `serve.sh`): they end what it
//!   left running, which the daemon cannot. `kill.sh` reaches a command from outside: an exec
//!   has no kill.
//! - **What is whose** is told by labels: the state folder, and the instance in it, whose
//!   lock tells whether it lives. Only the dead's things are reaped. What the registry
//!   keeps has a folder of its name among the kept layers.
//! - The library reads no environment: [`Endpoint`] is found from what it is handed.

mod address;
mod chores;
mod command;
mod container;
mod daemon;
mod engine;
mod execution;
mod failure;
mod image;
mod labels;
mod layer;
mod machine;
mod network;
mod output;
mod probe;
mod reap;
mod server;
mod size;
mod source;
mod workspace;

pub use address::{Endpoint, Surroundings};
pub use engine::{DockerConfig, DockerEngine};
pub use probe::probes;

//! The engine that needs no daemon: namespaces and overlayfs, a machine in 2 ms.
//!
//! ```text
//! this process ──Boot, socket──► spawner ──clone──► init of machine 1 ──► sh -c …
//!      │  ▲                         (one thread)  └► init of machine 2
//!      │  └──── one socket a machine: Exec, Kill ──────────┘
//!      └─ pipes: the commands' output, not relayed by anyone
//! ```
//!
//! - **Spawner**: the program itself, started once with `__sandbox`
//!   ([`spawner_main`]). It is small and has one thread, so a machine is a plain fork of
//!   it: no second start of a program. It prepares what all machines share (the masked
//!   view of the host, `/dev`, lent folders) in a mount namespace of its own.
//! - **Init** (`inside`): first process of a machine. Assembles the root file system,
//!   then runs commands until its socket ends.
//! - Life hangs on life: init dies with the spawner, the spawner with this process, and
//!   with a namespace's first process the kernel ends all others and lets go of mounts.
//! - A snapshot is the machine's upper layer, renamed after everything in it has ended.

mod caches;
mod cgroup;
mod config;
mod disk;
mod engine;
mod environment;
mod execution;
mod failure;
mod fingerprint;
mod flatten;
mod floor;
mod inside;
mod instance;
mod layer;
mod link;
mod machine;
mod network;
mod probe;
mod spawner;
mod undertaker;
mod wire;

pub use config::{SandboxConfig, default_exposed};
pub use engine::SandboxEngine;
pub use inside::spawner_main;
pub use probe::probes;

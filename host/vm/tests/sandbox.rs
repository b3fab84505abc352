//! The sandbox engine on this machine's own kernel: as whoever runs the tests, and, where
//! that is root, once more as an ordinary user and once without a user namespace.

#[path = "sandbox/chains.rs"]
mod chains;
#[path = "sandbox/commands.rs"]
mod commands;
#[path = "sandbox/disk.rs"]
mod disk;
#[path = "common/done.rs"]
mod done;
#[path = "sandbox/escape.rs"]
mod escape;
#[path = "sandbox/flatten.rs"]
mod flatten;
#[path = "sandbox/harness.rs"]
mod harness;
#[path = "sandbox/ids.rs"]
mod ids;
#[path = "sandbox/isolation.rs"]
mod isolation;
#[path = "sandbox/lifetime.rs"]
mod lifetime;
#[path = "sandbox/network.rs"]
mod network;
#[path = "sandbox/user.rs"]
mod user;

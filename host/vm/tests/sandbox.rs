//! The sandbox engine on this machine's own kernel: as whoever runs the tests, and, where
//! that is root, once more as an ordinary user.

#[path = "sandbox/chains.rs"]
mod chains;
#[path = "sandbox/commands.rs"]
mod commands;
#[path = "sandbox/escape.rs"]
mod escape;
#[path = "sandbox/harness.rs"]
mod harness;
#[path = "sandbox/isolation.rs"]
mod isolation;
#[path = "sandbox/lifetime.rs"]
mod lifetime;
#[path = "sandbox/user.rs"]
mod user;

//! The sandbox engine on this machine's own kernel: as whoever runs the tests, and, where
//! that is root, once more as an ordinary user.

#[path = "sandbox/commands.rs"]
mod commands;
#[path = "sandbox/harness.rs"]
mod harness;

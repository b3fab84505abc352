//! What runs on the other side of the process border: the spawner and each machine's
//! first process. Nothing here is used by threads of the process that wants machines.

mod assemble;
mod carrier;
mod command;
mod flatten;
mod identity;
mod ids;
mod image;
mod init;
mod jobs;
mod mask;
mod mounts;
mod overlay;
mod processes;
mod routes;
mod seccomp;
mod signals;
mod spawner;
mod stage;

pub use spawner::spawner_main;

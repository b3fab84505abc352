//! What the author of a backend does: begin, test, build, run, hold against the contract.
//! By the guide, by the examples, in Rust and in Python.

mod conformance;
mod desk;
mod examples;
mod guide;
mod projects;
mod python;
mod versions;
mod worlds;

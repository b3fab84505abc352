//! Finds, installs and runs a Rust toolchain that can build components.
//!
//! A component is built for `wasm32-unknown-unknown` and linked by the toolchain's own
//! `wasm-component-ld`, so no WASI target is needed. Where the target is not installed,
//! Debian's and Ubuntu's `rustc-web` stands in: it has the code generator and the
//! library's sources, from which `std` is built once.
//!
//! This is a build tool: unlike the other libraries it reads the variables that cargo
//! sets (`RUSTC`, `OUT_DIR`), and [`build_script`] prints what a build script prints.

pub mod build_script;

mod build;
mod command;
mod error;
mod find;
mod install;

pub use build::{Build, Profile};
pub use error::ToolchainError;
pub use find::{Toolchain, ToolchainKind};

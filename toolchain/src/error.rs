//! What can go wrong, and what to do about it.

use std::path::PathBuf;

/// Components cannot be built here, or one could not be.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// No toolchain here builds for the target.
    #[error(
        "no Rust toolchain for components: {cause}\n\
         install the target with      rustup target add wasm32-unknown-unknown\n\
         or, on Debian and Ubuntu     apt-get update && apt-get install rustc-web cargo-web rust-web-src"
    )]
    Missing {
        /// What was looked for and not found.
        cause: String,
    },
    /// A program could not be run.
    #[error("cannot run `{program}`")]
    Spawn {
        /// As it was called.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A program ended with a failure.
    #[error("`{command}` failed with {status}\n{output}")]
    Failed {
        /// Program and arguments.
        command: String,
        /// Exit code or signal, in words.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// Cargo was content, yet the component is not where it belongs.
    #[error(
        "cargo built `{package}` but left no {}; the package must be a `cdylib` with the \
         library name that cargo gives by default",
        .path.display()
    )]
    NoComponent {
        /// The package.
        package: String,
        /// Where the component should be.
        path: PathBuf,
    },
    /// Not called from a build script, or cargo's folders are not as expected.
    #[error("{0}")]
    BuildScript(String),
}

//! Installs what is missing, by the means that the machine has.

use std::path::Path;

use crate::command::{active, run};
use crate::find::TARGET;
use crate::{Toolchain, ToolchainError};

/// What makes components on Debian and Ubuntu.
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

impl Toolchain {
    /// Returns a toolchain that builds components, and installs one where there is none:
    /// the distribution's packages as root on Debian and Ubuntu, else the target by
    /// rustup. Calls `progress` with a line before it does what takes time.
    ///
    /// # Errors
    /// [`ToolchainError::Missing`] says what was tried, and both remedies.
    pub fn install(mut progress: impl FnMut(&str)) -> Result<Self, ToolchainError> {
        let Err(missing) = Self::find() else {
            return Self::find();
        };
        let mut tried = Vec::new();
        if is_root() && Path::new("/usr/bin/apt-get").is_file() {
            progress("installing rustc-web, cargo-web and rust-web-src for building components");
            match apt_get() {
                Ok(()) => return Self::find(),
                Err(error) => tried.push(error.to_string()),
            }
        }
        progress("adding the target wasm32-unknown-unknown with rustup");
        match run(active("rustup").args(["target", "add", TARGET])) {
            Ok(_) => return Self::find(),
            Err(error) => tried.push(error.to_string()),
        }
        match missing {
            ToolchainError::Missing { cause } => {
                let cause = format!("{cause}; tried: {}", tried.join("; "));
                Err(ToolchainError::Missing { cause })
            }
            other => Err(other),
        }
    }
}

fn apt_get() -> Result<(), ToolchainError> {
    let install = || {
        run(active("apt-get")
            .args(["install", "-y", "--no-install-recommends"])
            .args(PACKAGES)
            .env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // The lists of a container are often absent or old; a first try costs nothing.
    if install().is_err() {
        run(active("apt-get").arg("update"))?;
        install()?;
    }
    Ok(())
}

/// Returns true if this process may install packages.
fn is_root() -> bool {
    run(active("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

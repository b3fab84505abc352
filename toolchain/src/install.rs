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
        let mut missing = match Self::find() {
            Err(missing) => missing,
            found => return found,
        };
        let mut tried = Vec::new();
        if is_root() && Path::new("/usr/bin/apt-get").is_file() {
            progress("installing rustc-web, cargo-web and rust-web-src for building components");
            let installed = newest(install, || run(active("apt-get").arg("update")), Self::find);
            match installed {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(still)) => missing = still,
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

fn install() -> Result<String, ToolchainError> {
    run(active("apt-get")
        .args(["install", "-y", "--no-install-recommends"])
        .args(PACKAGES)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Installs the packages and looks for what they bring. The lists of packages in an image
/// are often absent, or so old that they name a compiler from before the oldest that serves:
/// then they are fetched, and the packages brought to the version that they have now. A first
/// try without that costs nothing.
///
/// # Errors
/// Outer: the packages could not be installed. Inner: they were, and do not serve.
fn newest<T>(
    install: impl Fn() -> Result<String, ToolchainError>,
    fetch_lists: impl FnOnce() -> Result<String, ToolchainError>,
    find: impl Fn() -> Result<T, ToolchainError>,
) -> Result<Result<T, ToolchainError>, ToolchainError> {
    if install().is_ok()
        && let Ok(found) = find()
    {
        return Ok(Ok(found));
    }
    fetch_lists()?;
    install()?;
    Ok(find())
}

/// Returns true if this process may install packages.
fn is_root() -> bool {
    run(active("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn too_old() -> ToolchainError {
        ToolchainError::Missing {
            cause: "too old".into(),
        }
    }

    #[test]
    fn lists_that_name_too_old_a_compiler_are_fetched() {
        let (lists, installed) = (Cell::new(85), Cell::new(0));
        let install = || {
            installed.set(lists.get());
            Ok(String::new())
        };
        let fetch = || {
            lists.set(96);
            Ok(String::new())
        };
        let find = || (installed.get() >= 96).then_some(96).ok_or_else(too_old);
        assert_eq!(newest(install, fetch, find).unwrap().unwrap(), 96);
    }

    #[test]
    fn what_serves_is_left_as_it_is() {
        let fetch = || panic!("the lists were good");
        let found = newest(|| Ok(String::new()), fetch, || Ok(()));
        assert!(matches!(found, Ok(Ok(()))));
    }

    #[test]
    fn a_distribution_without_a_new_compiler_is_told_from_a_failed_installation() {
        let nothing = || Ok(String::new());
        assert!(matches!(
            newest(nothing, nothing, || Err::<(), _>(too_old())),
            Ok(Err(ToolchainError::Missing { .. }))
        ));
        let refused = || Err(too_old());
        assert!(newest(refused, nothing, || Ok(())).is_err());
    }
}

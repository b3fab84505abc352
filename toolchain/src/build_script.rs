//! For build scripts that embed a component.

use std::env;
use std::path::{Path, PathBuf};

use crate::{Build, Profile, Toolchain, ToolchainError};

/// Folder in cargo's target folder where guests are built, shared by all that embed one:
/// `std` is built in it once.
pub const GUESTS: &str = "guests";

/// Builds `package` of the workspace around the calling package as a component, and
/// returns its file. Tells cargo to run the script again when one of `sources` changes
/// (files or folders, relative to the calling package, or absolute).
///
/// # Errors
/// The text says what to install, or carries the compiler's words. Let `main` return it
/// or panic with it: cargo shows both.
pub fn component(package: &str, sources: &[&Path]) -> Result<PathBuf, ToolchainError> {
    rerun_if_changed(sources);
    let manifest_dir = variable("CARGO_MANIFEST_DIR")?;
    let out_dir = variable("OUT_DIR")?;
    Toolchain::find()?.build(&Build {
        manifest_dir: &manifest_dir,
        package,
        target_dir: &guests_dir(&out_dir)?,
        profile: Profile::Guest,
        locked: true,
    })
}

#[expect(clippy::print_stdout, reason = "how a build script talks to cargo")]
fn rerun_if_changed(sources: &[&Path]) {
    for source in sources {
        println!("cargo::rerun-if-changed={}", source.display());
    }
}

fn variable(name: &str) -> Result<PathBuf, ToolchainError> {
    env::var_os(name).map(PathBuf::from).ok_or_else(|| {
        ToolchainError::BuildScript(format!(
            "${name} is not set: this belongs into a build script"
        ))
    })
}

/// Returns the folder of guests for a build script's `OUT_DIR`, which is
/// `TARGET[/TRIPLE]/PROFILE/build/PACKAGE-HASH/out`.
fn guests_dir(out_dir: &Path) -> Result<PathBuf, ToolchainError> {
    let target = out_dir
        .ancestors()
        .nth(4)
        .filter(|path| path.parent().is_some());
    target.map(|path| path.join(GUESTS)).ok_or_else(|| {
        let shown = out_dir.display();
        ToolchainError::BuildScript(format!(
            "$OUT_DIR ({shown}) does not lie in a target folder"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_lie_beside_the_profiles() {
        let dir = guests_dir(Path::new("/src/target/debug/build/hm-exec-0123/out")).unwrap();
        assert_eq!(dir, Path::new("/src/target/guests"));
        assert!(guests_dir(Path::new("/build/x/out")).is_err());
    }
}

//! The outer cargo, and where it puts things.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};
use hm_guest_toolchain::Toolchain;

/// Returns the root of the checkout.
pub(crate) fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Returns cargo's folder for what it builds.
pub(crate) fn target_dir() -> PathBuf {
    // Joined, as a relative one is meant from where cargo runs.
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Returns the cargo that runs this program, at the root of the checkout.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Runs a command to its end, its output where ours goes.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .status()
        .with_context(|| format!("cannot run `{program}`"))
}

/// Runs a command that must succeed.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        let words: Vec<_> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy())
            .collect();
        bail!("`{}` failed with {status}", words.join(" "));
    }
    Ok(())
}

/// Makes sure that components can be built, which the build of `hm` needs.
pub(crate) fn ensure_toolchain() -> Result<()> {
    Toolchain::install(|line| eprintln!("xtask: {line}"))?;
    Ok(())
}

/// Builds `hm` in release and returns it.
pub(crate) fn release_hm() -> Result<PathBuf> {
    ensure_toolchain()?;
    succeed(cargo().args(["build", "--release", "--package", "hm"]))?;
    Ok(target_dir().join("release/hm"))
}

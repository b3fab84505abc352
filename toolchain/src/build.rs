//! Builds a package as a component.

use std::env;
use std::path::{Path, PathBuf};

use crate::command::{command, run};
use crate::find::{TARGET, ToolchainKind};
use crate::{Toolchain, ToolchainError};

/// How a component is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The profile `guest` of the workspace: small, and without unwinding.
    Guest,
    /// Cargo's `release`, which every project has.
    Release,
}

impl Profile {
    /// Returns cargo's name for it, which is its folder's too.
    fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Release => "release",
        }
    }
}

/// What to build, and where.
#[derive(Debug, Clone)]
pub struct Build<'a> {
    /// Folder of the package's or the workspace's `Cargo.toml`.
    pub manifest_dir: &'a Path,
    /// Name of the package, a `cdylib`.
    pub package: &'a str,
    /// Cargo's folder for it. Not the one of a cargo that is running: they would wait
    /// for each other.
    pub target_dir: &'a Path,
    /// How it is compiled.
    pub profile: Profile,
    /// Refuse to change `Cargo.lock`.
    pub locked: bool,
}

/// Returns the setting that takes the registries' folders on this machine, which stand in what a
/// panic tells, out of a component: one compiler makes the same bytes, with the same digest, of it
/// everywhere. Cargo names files of the workspace by their place in it already. The flags add to the
/// project's own, which `RUSTFLAGS` would replace, and are the same for all projects, so that
/// what these have in common is compiled once.
fn unplaced() -> String {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let registries = home.and_then(|home| home.join("registry/src").read_dir().ok());
    // One folder a registry, with the registry's host in its name.
    let mut flags: Vec<String> = registries
        .into_iter()
        .flatten()
        .filter_map(|registry| registry.ok()?.path().into_os_string().into_string().ok())
        // A literal string of TOML holds anything but these.
        .filter(|folder| !folder.contains(|c: char| c == '\'' || c.is_control()))
        .map(|folder| format!("'--remap-path-prefix={folder}=registry'"))
        .collect();
    flags.sort();
    format!("target.{TARGET}.rustflags=[{}]", flags.join(","))
}

impl Toolchain {
    /// Builds a component and returns its file; cargo rebuilds only what changed.
    ///
    /// # Errors
    /// The compiler's words, if it does not compile.
    pub fn build(&self, build: &Build<'_>) -> Result<PathBuf, ToolchainError> {
        let mut cargo = command(&self.cargo);
        cargo
            .current_dir(build.manifest_dir)
            // Also where the package is an `rlib` besides, for its tests: with that, cargo
            // would optimise each crate by itself, and the component would be twice as large.
            .args(["rustc", "--lib", "--crate-type", "cdylib"])
            .args(["--package", build.package, "--target", TARGET])
            .args(["--profile", build.profile.name(), "--color", "never"])
            .args(["--config", &unplaced()])
            .arg("--target-dir")
            .arg(build.target_dir)
            .env("RUSTC", &self.rustc)
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &self.linker)
            .env("PATH", self.search_path());
        if build.locked {
            cargo.arg("--locked");
        }
        if self.kind == ToolchainKind::WebPackages {
            // Building `std` is an unstable feature, which a stable compiler has to be told.
            cargo
                .env("RUSTC_BOOTSTRAP", "1")
                .arg("-Zbuild-std=std,panic_abort");
        }
        run(&mut cargo)?;
        let file = format!("{}.wasm", build.package.replace('-', "_"));
        let path = build
            .target_dir
            .join(TARGET)
            .join(build.profile.name())
            .join(file);
        if path.is_file() {
            Ok(path)
        } else {
            Err(ToolchainError::NoComponent {
                package: build.package.into(),
                path,
            })
        }
    }

    fn search_path(&self) -> std::ffi::OsString {
        let rest = env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.wasm_ld.clone()).chain(env::split_paths(&rest));
        // Only a folder with a separator in its name fails, which no search path can hold.
        env::join_paths(folders).unwrap_or(rest)
    }
}

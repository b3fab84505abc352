//! Rust projects: cargo, and a toolchain that makes components.

use std::fs;
use std::path::Path;

use hm_guest_toolchain::{Build, Profile, Toolchain, ToolchainError};

use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Folder of the project's target folder where components are built, apart from what
/// `cargo test` builds.
const TARGET: &str = "target/component";

/// Builds the package in `dir`; returns its name and the component.
pub(super) fn build(dir: &Path, terminal: &Terminal) -> Result<(String, Vec<u8>), Failure> {
    let name = package(&dir.join("Cargo.toml"))?;
    let toolchain = Toolchain::find().map_err(failure)?;
    terminal.note(&format!("building {name} as a component"));
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let component = toolchain
        .build(&Build {
            manifest_dir: &dir,
            package: &name,
            target_dir: &dir.join(TARGET),
            profile: Profile::Release,
            locked: false,
        })
        .map_err(failure)?;
    let bytes = fs::read(&component).map_err(|error| {
        let what = format!("cannot read {}", component.display());
        Failure::caused(Exit::Unavailable, what, error)
    })?;
    Ok((name, bytes))
}

/// Returns the name of the package.
fn package(manifest: &Path) -> Result<String, Failure> {
    let shown = manifest.display();
    let text = fs::read_to_string(manifest)
        .map_err(|error| Failure::caused(Exit::Usage, format!("cannot read {shown}"), error))?;
    let table: toml::Table = text
        .parse()
        .map_err(|error| Failure::caused(Exit::Usage, format!("{shown} is no TOML"), error))?;
    let name = table
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(toml::Value::as_str);
    name.map(str::to_owned).ok_or_else(|| {
        Failure::usage(format!("{shown} has no package"))
            .hint("name the folder of the package: hm backend build DIR")
    })
}

/// A compiler's words are the user's to read: exit 1. Without a toolchain: exit 4.
fn failure(error: ToolchainError) -> Failure {
    let exit = match error {
        ToolchainError::Failed { .. } | ToolchainError::NoComponent { .. } => Exit::Code(1),
        _ => Exit::Unavailable,
    };
    Failure::new(exit, error)
}

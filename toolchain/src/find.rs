//! Looks for a toolchain that builds components.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::ToolchainError;
use crate::command::{active, command, run};

/// What components are built for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Where Debian's and Ubuntu's packages put the compiler.
const WEB_RUSTC: &str = "/usr/bin/rustc";
const WEB_CARGO: &str = "/usr/bin/cargo";

/// The oldest of their compilers that builds the workspace (`rust-version`) and its own
/// `std` from the packaged sources.
const WEB_VERSION: (u32, u32) = (1, 96);

/// How components are built here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolchainKind {
    /// The active toolchain has the target.
    Active,
    /// The distribution's packages; `std` is built from their sources.
    WebPackages,
}

/// A toolchain that builds components.
#[derive(Debug, Clone)]
pub struct Toolchain {
    pub(crate) kind: ToolchainKind,
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
    pub(crate) linker: PathBuf,
    /// Folder of `wasm-ld`, which the linker looks for on the search path.
    pub(crate) wasm_ld: PathBuf,
}

impl Toolchain {
    /// Looks for a toolchain: the active one if it has the target, else the
    /// distribution's packages.
    ///
    /// # Errors
    /// [`ToolchainError::Missing`] names what was not found, and both remedies.
    pub fn find() -> Result<Self, ToolchainError> {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let sysroot = sysroot(&rustc)?;
        let has_target = sysroot.join("lib/rustlib").join(TARGET).is_dir();
        let web = if has_target { Ok(()) } else { web_packages() };
        if let Err(cause) = web {
            let cause = format!(
                "{} lacks the target {TARGET}, and {cause}",
                sysroot.display()
            );
            return Err(ToolchainError::Missing { cause });
        }
        let (linker, wasm_ld) = linker(&sysroot)?;
        Ok(if has_target {
            let rustc = sysroot.join("bin/rustc");
            Self {
                kind: ToolchainKind::Active,
                cargo: cargo(&sysroot),
                rustc,
                linker,
                wasm_ld,
            }
        } else {
            let (cargo, rustc) = (WEB_CARGO.into(), WEB_RUSTC.into());
            Self {
                kind: ToolchainKind::WebPackages,
                cargo,
                rustc,
                linker,
                wasm_ld,
            }
        })
    }

    /// Returns which of the two it is.
    pub fn kind(&self) -> ToolchainKind {
        self.kind
    }
}

/// Returns the folder of the toolchain that `rustc` belongs to.
fn sysroot(rustc: &OsString) -> Result<PathBuf, ToolchainError> {
    let printed = run(active(rustc).args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(printed.trim()))
}

/// Returns the cargo of the toolchain in `sysroot`; a custom toolchain may have none.
fn cargo(sysroot: &Path) -> PathBuf {
    let own = sysroot.join("bin/cargo");
    if own.is_file() { own } else { "cargo".into() }
}

/// Checks that the distribution's packages are complete; the error is a clause.
fn web_packages() -> Result<(), String> {
    if !Path::new(WEB_RUSTC).is_file() || !Path::new(WEB_CARGO).is_file() {
        return Err("the packages rustc-web and cargo-web are not installed".into());
    }
    let version = run(command(WEB_RUSTC).arg("--version")).map_err(|error| error.to_string())?;
    if parse_version(&version).is_none_or(|found| found < WEB_VERSION) {
        let (major, minor) = WEB_VERSION;
        let version = version.trim();
        return Err(format!(
            "{WEB_RUSTC} is older than {major}.{minor} ({version})"
        ));
    }
    let sources = Path::new("/usr/lib/rustlib/src/rust/library/std/Cargo.toml");
    if !sources.exists() {
        return Err("the package rust-web-src is not installed".into());
    }
    Ok(())
}

/// Parses `rustc 1.96.0 (…)`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().nth(1)?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Returns the linker that makes components, and the folder of the `wasm-ld` it calls.
fn linker(sysroot: &Path) -> Result<(PathBuf, PathBuf), ToolchainError> {
    let rustlib = sysroot.join("lib/rustlib");
    let hosts = std::fs::read_dir(&rustlib).into_iter().flatten().flatten();
    for host in hosts {
        let bin = host.path().join("bin");
        let linker = bin.join("wasm-component-ld");
        if !linker.is_file() {
            continue;
        }
        let beside = bin.join("gcc-ld");
        let wasm_ld = if beside.join("wasm-ld").is_file() {
            Some(beside)
        } else {
            on_path("wasm-ld")
        };
        if let Some(wasm_ld) = wasm_ld {
            return Ok((linker, wasm_ld));
        }
    }
    let cause = format!(
        "no `wasm-component-ld` with its `wasm-ld` under {}; the linker ships with the toolchains \
         of rustup, and Debian's needs the package lld",
        rustlib.display()
    );
    Err(ToolchainError::Missing { cause })
}

/// Returns the first folder of the search path that has `program`.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).find(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(
            parse_version("rustc 1.96.0 (ac68faa20 2026-05-25)"),
            Some((1, 96))
        );
        assert_eq!(parse_version("rustc 1.100.0-nightly"), Some((1, 100)));
        assert!(parse_version("rustc 1.100.0").unwrap() > WEB_VERSION);
        assert_eq!(parse_version("rustc"), None);
    }

    #[test]
    fn a_linker_without_its_wasm_ld_is_found_wanting() {
        let sysroot = tempfile::tempdir().unwrap();
        let error = linker(sysroot.path()).unwrap_err().to_string();
        assert!(error.contains("wasm-component-ld"), "{error}");
        assert!(
            error.contains("rustup target add wasm32-unknown-unknown"),
            "{error}"
        );
        assert!(error.contains("&& apt-get install rustc-web"), "{error}");

        let bin = sysroot.path().join("lib/rustlib/some-host/bin");
        std::fs::create_dir_all(bin.join("gcc-ld")).unwrap();
        std::fs::write(bin.join("wasm-component-ld"), "").unwrap();
        std::fs::write(bin.join("gcc-ld/wasm-ld"), "").unwrap();
        assert_eq!(
            linker(sysroot.path()).unwrap(),
            (bin.join("wasm-component-ld"), bin.join("gcc-ld"))
        );
    }
}

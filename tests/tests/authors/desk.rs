//! Where an author sits: a folder with `hm` and `cargo` on the path, and no network.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hm_tests::{Invocation, Project, component_folder, hm, shared_folder};

/// Compiling takes its time, above all beside other tests.
const LONG: Duration = Duration::from_secs(1800);

/// Returns a project in which `script` runs as a shell's, up to the first command that
/// fails.
pub(crate) fn shell(project: &Project, script: &str) -> Invocation {
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    let folder = |variable: &str, name: &str| -> OsString {
        std::env::var_os(variable).unwrap_or_else(|| home.join(name).into())
    };
    let hm_folder = hm().parent().expect("it lies in a folder");
    let cargo_home = folder("CARGO_HOME", ".cargo");
    let path = format!(
        "{}:{}/bin:/usr/local/bin:/usr/bin:/bin",
        hm_folder.display(),
        Path::new(&cargo_home).display()
    );
    project
        .program("/bin/sh")
        .args(["-euxc", script])
        .env("PATH", path)
        .env("CARGO_HOME", cargo_home)
        .env("RUSTUP_HOME", folder("RUSTUP_HOME", ".rustup"))
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", shared_folder("authors"))
        .env("CARGO_TERM_COLOR", "never")
        .within(LONG)
        .beside_others()
}

/// Lends a project the folder in which components are built, so that the standard library
/// is not compiled for each test. `hm backend build` finds it as its own.
///
/// Projects that use it at the same time need names of their own: to cargo, a package is the
/// same one wherever it lies.
pub(crate) fn lend_components(project: &Path) {
    let target = project.join("target");
    std::fs::create_dir_all(&target).expect("the project's folder can be written");
    std::os::unix::fs::symlink(component_folder(), target.join("component"))
        .expect("there is none yet");
}

//! Components for the tests, built as a stranger builds them: outside the workspace.

use std::fs::File;
use std::path::{Path, PathBuf};

use hm_guest_toolchain::{Build, Profile, Toolchain};

use crate::program::{shared_folder, workspace};

/// Builds `tests/guests/NAME` and returns its file; cargo rebuilds only what changed, and
/// one test at a time.
///
/// # Panics
/// If it cannot be built.
pub fn guest(name: &str, package: &str) -> PathBuf {
    build(&workspace().join("tests/guests").join(name), package)
}

/// Builds one of `examples/backends`, whose package has the folder's name, and returns the
/// component.
///
/// # Panics
/// If it cannot be built.
pub fn example(name: &str) -> PathBuf {
    build(&workspace().join("examples/backends").join(name), name)
}

/// Returns the folder in which components are built: what they have in common is there.
pub fn component_folder() -> PathBuf {
    let folder = shared_folder("guests").join("target");
    std::fs::create_dir_all(&folder).expect("a folder of our own");
    folder
}

fn build(manifest_dir: &Path, package: &str) -> PathBuf {
    let folder = shared_folder("guests");
    let lock = File::create(folder.join("lock")).expect("a folder of our own");
    lock.lock().expect("the file system knows locks");
    let toolchain = Toolchain::find().unwrap_or_else(|error| panic!("{error}"));
    let build = Build {
        manifest_dir,
        package,
        target_dir: &folder.join("target"),
        profile: Profile::Release,
        locked: false,
    };
    toolchain
        .build(&build)
        .unwrap_or_else(|error| panic!("{error}"))
}

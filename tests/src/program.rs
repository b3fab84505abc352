//! Finds the program under test, and where its tests may keep things.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

/// Names another `hm` than the one that lies beside the tests.
const OVERRIDE: &str = "HM_TEST_PROGRAM";

/// Returns the `hm` that was built with these tests.
///
/// # Panics
/// If it is missing, or older than what it is made of: cargo builds another package's
/// programs only when it is asked to.
pub fn hm() -> &'static Path {
    static HM: OnceLock<PathBuf> = OnceLock::new();
    HM.get_or_init(|| {
        if let Some(path) = std::env::var_os(OVERRIDE) {
            return PathBuf::from(path);
        }
        let hm = profile_folder().join("hm");
        if !hm.is_file() {
            panic!("there is no {}; {REMEDY}", hm.display());
        }
        if let Some(newer) = newer_source(&hm) {
            panic!(
                "{} is older than {}; {REMEDY}",
                hm.display(),
                newer.display()
            );
        }
        hm
    })
}

const REMEDY: &str = "run `cargo xtask test`, or build it first: `cargo build -p hm`";

/// Returns the folder of cargo's profile, in which this very test lies.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let folder = test.ancestors().find(|folder| folder.ends_with("deps"));
    let profile = folder.and_then(Path::parent);
    profile
        .unwrap_or_else(|| panic!("{} does not lie in cargo's folder", test.display()))
        .to_owned()
}

/// Returns a folder that all tests of this checkout share, in cargo's.
pub fn shared_folder(name: &str) -> PathBuf {
    let folder = profile_folder().join("hm-tests").join(name);
    std::fs::create_dir_all(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder
}

/// Returns the root of the checkout.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate lies in a folder of the checkout")
}

/// Returns a file that cargo says the program is made of, and that is newer.
fn newer_source(program: &Path) -> Option<PathBuf> {
    let built = modified(program)?;
    let list = std::fs::read_to_string(program.with_extension("d")).ok()?;
    let (_, sources) = list.split_once(": ")?;
    // A blank in a name is written as `\ `.
    let joined = sources.replace("\\ ", "\u{0}");
    joined
        .split_whitespace()
        .map(|name| PathBuf::from(name.replace('\u{0}', " ")))
        .find(|source| modified(source).is_some_and(|time| time > built))
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata()
        .and_then(|metadata| metadata.modified())
        .ok()
}

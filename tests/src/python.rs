//! A Python with the pipeline DSL from the package index, made once for all tests.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::shared_folder;

/// The version that the samples were rendered with.
const DSL: &str = "harmont==0.0.9";

/// Returns a `PATH` whose `python3` has the DSL.
///
/// # Errors
/// Why there is none: no Python, or no way to the package index.
pub fn python_path() -> Result<String, String> {
    let folder = shared_folder("python");
    let venv = folder.join("venv");
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if !venv.join("ready").exists() {
        make(&venv)?;
    }
    Ok(format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        venv.join("bin").display()
    ))
}

fn make(venv: &Path) -> Result<(), String> {
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(venv))?;
    let python: PathBuf = venv.join("bin/python3");
    run(Command::new(python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        DSL,
    ]))?;
    std::fs::write(venv.join("ready"), DSL).map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{shown}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!(
        "{shown}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&said)
    ))
}

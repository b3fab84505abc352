//! `hm backend dev`: build, run, and again at each change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, SystemTime};

use super::build;
use crate::config::Folders;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Build a backend and run a pipeline with it, again at each change
#[derive(clap::Args)]
pub(super) struct Args {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Flags of `hm backend grant` for each build, as `--allow='--vm --vm-image host'`; else you are asked
    #[arg(long, value_name = "FLAGS", allow_hyphen_values = true)]
    allow: Option<String>,
    /// Build and run once
    #[arg(long)]
    once: bool,
    /// Arguments for `hm run`
    #[arg(last = true, value_name = "ARGS")]
    run: Vec<String>,
}

/// How often the project is looked at. People do not save faster.
const LOOK: Duration = Duration::from_millis(300);

/// Folders that are no sources.
const LEFT_OUT: &[&str] = &[
    "target",
    ".git",
    ".venv",
    "venv",
    "__pycache__",
    "node_modules",
];

/// Builds and runs until it is interrupted.
pub(super) fn run(args: &Args, folders: &Folders, terminal: &Terminal) -> Result<Exit, Failure> {
    loop {
        let seen = sources(&args.dir);
        match round(args, folders, terminal) {
            Ok(exit) if args.once => return Ok(exit),
            Err(failure) if args.once => return Err(failure),
            Ok(_) => {}
            Err(failure) => terminal.tell(&failure),
        }
        terminal.note("waiting for a change; Ctrl-C ends");
        while sources(&args.dir) == seen {
            std::thread::sleep(LOOK);
        }
    }
}

/// Builds and runs once.
fn round(args: &Args, folders: &Folders, terminal: &Terminal) -> Result<Exit, Failure> {
    let built = build::build(&args.dir, None, folders, terminal)?;
    let hm = std::env::current_exe()
        .map_err(|error| Failure::caused(Exit::Unavailable, "hm does not find itself", error))?;
    if let Some(flags) = &args.allow {
        let mut grant = Command::new(&hm);
        grant
            .args(["backend", "grant", &built.inspection.digest])
            .args(flags.split_whitespace());
        ended(&mut grant)?;
    }
    let mut command = Command::new(&hm);
    // As a path it is a file's, and never a name's.
    let file = std::path::absolute(&built.file).unwrap_or(built.file);
    command
        .arg("run")
        .args(&args.run)
        .arg("--backend")
        .arg(file);
    let status = ended(&mut command)?;
    Ok(Exit::from_code(status.code().unwrap_or(130)))
}

fn ended(command: &mut Command) -> Result<ExitStatus, Failure> {
    command
        .status()
        .map_err(|error| Failure::caused(Exit::Unavailable, "cannot run hm", error))
}

/// Returns the files of the project, and when each was changed.
fn sources(dir: &Path) -> BTreeMap<PathBuf, Option<SystemTime>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name());
            let is_left_out = LEFT_OUT.iter().any(|left_out| name == *left_out)
                || path
                    .extension()
                    .is_some_and(|extension| extension == "wasm");
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !is_left_out => open.push(path),
                Ok(kind) if kind.is_file() && !is_left_out => {
                    let changed = entry.metadata().and_then(|data| data.modified()).ok();
                    found.insert(path, changed);
                }
                _ => {}
            }
        }
    }
    found
}

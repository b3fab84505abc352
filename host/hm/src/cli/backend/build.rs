//! `hm backend build`: one optimised component of a project, with its metadata.

mod python;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};

use hm_exec::{ComponentSource, Inspection};

use crate::config::{Folders, Layer, Settings};
use crate::failure::{Exit, Failure};
use crate::run;
use crate::terminal::Terminal;

/// Build a backend's component
#[derive(clap::Args)]
pub(super) struct Args {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Where the component goes, instead of NAME.wasm in the project's folder
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Builds, and says what came of it.
pub(super) fn run(args: &Args, folders: &Folders, terminal: &Terminal) -> Result<Exit, Failure> {
    let built = build(&args.dir, args.output.as_deref(), folders, terminal)?;
    terminal.note(&format!(
        "built {}\n{}",
        built.file.display(),
        run::describe(&built.inspection, &[]).trim_end()
    ));
    Ok(Exit::Success)
}

/// A component that was built.
pub(super) struct Built {
    pub(super) file: PathBuf,
    pub(super) inspection: Inspection,
}

/// Builds the project in `dir` as a component.
///
/// # Errors
/// There is no project, no toolchain for it (exit 4), or it does not compile (exit 1).
pub(super) fn build(
    dir: &Path,
    output: Option<&Path>,
    folders: &Folders,
    terminal: &Terminal,
) -> Result<Built, Failure> {
    let (name, bytes) = if dir.join("Cargo.toml").is_file() {
        rust::build(dir, terminal)?
    } else if dir.join("app.py").is_file() {
        python::build(dir, terminal)?
    } else {
        let text = format!("there is no backend's project in `{}`", dir.display());
        return Err(Failure::usage(text)
            .hint("a project has a Cargo.toml or an app.py; `hm backend new NAME` begins one"));
    };
    let file = output.map_or_else(|| dir.join(format!("{name}.wasm")), Path::to_owned);
    let file = file.strip_prefix(".").map_or(file.clone(), Path::to_owned);
    place(&file, &bytes)?;
    let source = ComponentSource::File(file.clone());
    let runtime = run::runtime(folders, &Settings::load(folders, None, Layer::default())?)?;
    let examined = runtime
        .read(&source)
        .and_then(|file| runtime.examine(file))
        .map_err(run::load_failure)?;
    Ok(Built {
        file,
        inspection: examined.inspection().clone(),
    })
}

/// Writes to a temporary name first: who runs the component meanwhile has a whole one.
fn place(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let what = format!("cannot write {}", file.display());
        Failure::caused(Exit::Usage, what, error)
    };
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let temporary = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(failed)?;
    fs::write(temporary.path(), bytes).map_err(failed)?;
    temporary
        .persist(file)
        .map(drop)
        .map_err(|error| failed(error.error))
}

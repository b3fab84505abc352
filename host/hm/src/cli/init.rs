//! `hm init`: a first pipeline that works, for the kind of project that is there.

mod template;

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};
use crate::project;
use crate::terminal::Terminal;
use template::Kind;

/// Write a first pipeline, `.hm/ci.toml`, for the project in a folder
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kind of project, instead of what the folder looks like
    #[arg(short, long, value_name = "KIND")]
    template: Option<Kind>,
    /// The project's folder
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Replace a `.hm/ci.toml` that is there already
    #[arg(long)]
    force: bool,
}

/// What Python and Node leave beside pipelines.
const IGNORED: &str = "__pycache__/\nnode_modules/\n";

/// Writes the pipeline, and says what to type next.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    if !args.dir.is_dir() {
        return Err(Failure::usage(format!(
            "`{}` is not a folder",
            args.dir.display()
        )));
    }
    let folder = args.dir.join(project::FOLDER);
    if let Some(there) = existing(&folder).filter(|_| !args.force) {
        terminal.note(&format!(
            "{} is there already, and is left alone\n  to run it:      {}\n  to write a new .hm/ci.toml all the same:  hm init --force",
            there.display(),
            command(&args.dir)
        ));
        return Ok(Exit::Success);
    }
    let kind = args.template.unwrap_or_else(|| Kind::detect(&args.dir));
    std::fs::create_dir_all(&folder).map_err(|error| refused(&folder, error))?;
    let pipeline = folder.join("ci.toml");
    write(&pipeline, &kind.pipeline(&args.dir))?;
    let ignore = folder.join(".gitignore");
    if !ignore.exists() {
        write(&ignore, IGNORED)?;
    }
    terminal.note(&format!(
        "wrote {} for {}\n  next:  {}",
        pipeline.strip_prefix(".").unwrap_or(&pipeline).display(),
        kind.described(),
        command(&args.dir)
    ));
    Ok(Exit::Success)
}

/// Returns a pipeline that is in the folder already, the one that would be replaced first.
fn existing(folder: &Path) -> Option<PathBuf> {
    let own = folder.join("ci.toml");
    if own.exists() {
        return Some(own);
    }
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            matches!(extension, Some("py" | "toml" | "json" | "ts"))
                && path
                    .file_name()
                    .is_some_and(|name| name != crate::config::FILE_NAME)
        })
        .collect();
    found.sort();
    found.into_iter().next()
}

fn command(dir: &Path) -> String {
    if dir == Path::new(".") {
        "hm run".into()
    } else {
        format!("hm run -d {}", dir.display())
    }
}

/// Writes to a temporary name first, so that nobody sees half a file.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.persist(path).map_err(|error| error.error)
        });
    written.map(drop).map_err(|error| refused(path, error))
}

fn refused(path: &Path, error: std::io::Error) -> Failure {
    Failure::caused(
        Exit::Usage,
        format!("cannot write {}", path.display()),
        error,
    )
}

//! `hm backend new`: a project that builds, passes its own tests and runs a pipeline.

mod embedded;
mod project;

use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;
use project::Project;

/// Begin an execution backend of your own
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the backend: a-z, 0-9 and -
    #[arg(value_name = "NAME")]
    name: String,
    /// Language that it is written in
    #[arg(long, value_enum, default_value = "rust")]
    lang: Language,
    /// What runs the steps: machines of this hm (`vm`), or a service over HTTP (`http`)
    #[arg(long, value_enum, default_value = "vm")]
    kind: Kind,
    /// Folder of the project, instead of the name
    #[arg(short, long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The SDK: a folder with its sources, or a published version, instead of a copy in `vendor/`
    #[arg(long, value_name = "PATH|VERSION")]
    sdk: Option<String>,
}

/// What a backend is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    Rust,
    Python,
}

/// What runs the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    Vm,
    Http,
}

/// Writes the project, and says what to type next.
pub(super) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    check_name(&args.name)?;
    let dir = args
        .dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(&args.name));
    if dir
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some())
        || dir.is_file()
    {
        return Err(
            Failure::usage(format!("`{}` is there already", dir.display()))
                .hint("give another name, or another folder by `-d DIR`"),
        );
    }
    let project = Project {
        name: &args.name,
        language: args.lang,
        kind: args.kind,
        sdk: args.sdk.as_deref(),
    };
    let files = project.files()?;
    write(&dir, &files)?;
    terminal.note(&format!(
        "wrote {} with {} files\n{}",
        dir.display(),
        files.len(),
        project.next_steps(&dir)
    ));
    Ok(Exit::Success)
}

/// The grammar of a described name, which is a package's too.
fn check_name(name: &str) -> Result<(), Failure> {
    let is_name = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    // Two packages of one name would have to be told apart in every command.
    let package = format!("name = \"{name}\"\n");
    let is_taken = embedded::below("examples/backends").any(|(file, text)| {
        file.strip_suffix("/Cargo.lock")
            .is_some_and(|example| example != name && text.contains(&package))
    });
    let is_reserved = RESERVED.split_whitespace().any(|word| word == name);
    if is_name && !is_taken && !is_reserved {
        return Ok(());
    }
    let failure = Failure::usage(format!(
        "`{}` cannot be a backend's name",
        hm_render::clean_line(name)
    ));
    Err(failure.hint(
        "begin with a letter; then a-z, 0-9 and -, 64 characters at most; not the name of a \
         built-in backend, a word of Rust, or a crate that the SDK uses",
    ))
}

/// Names of built-in backends, and those that no package may have.
const RESERVED: &str = "local cloud docker test core std alloc proc-macro self super crate as async await break \
    const continue dyn else enum extern false fn for gen if impl in let loop match mod move mut pub ref return \
    static struct trait true type unsafe use where while";

/// Writes all files to a folder beside, and moves it to its place: nobody sees half a
/// project.
fn write(dir: &Path, files: &[(String, String)]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let what = format!("cannot write {}", dir.display());
        Failure::caused(Exit::Usage, what, error)
    };
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(failed)?;
    let beside = tempfile::Builder::new()
        .prefix(".hm-new-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir_in(parent)
        .map_err(failed)?;
    for (name, text) in files {
        let path = beside.path().join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        std::fs::write(path, text).map_err(failed)?;
    }
    // An empty folder is replaced.
    std::fs::rename(beside.path(), dir).map_err(failed)?;
    let _ = beside.keep();
    Ok(())
}

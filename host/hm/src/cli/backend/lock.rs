//! `hm backend lock`: pins the bytes of the repository's backends.

use hm_render::clean_line;

use crate::config::{Folders, Layer, Settings};
use crate::failure::{Exit, Failure};
use crate::lock::Lock;
use crate::project;
use crate::terminal::Terminal;

/// Pin the bytes of this repository's backends in `hm.lock`
#[derive(clap::Args)]
pub(super) struct Args {
    /// Backends of the configuration; all that the repository declares if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Writes the lock. It grants nothing: everybody who runs the backend is still asked.
pub(super) fn run(args: &Args, folders: &Folders, terminal: &Terminal) -> Result<Exit, Failure> {
    let root = project::find_root(None)?.ok_or_else(|| {
        Failure::usage("this is no repository: there is no `.hm` folder here or above")
    })?;
    let settings = Settings::load(folders, Some(&root), Layer::default())?;
    let names = if args.names.is_empty() {
        settings.backend_names().into_iter().collect()
    } else {
        args.names.clone()
    };
    let mut lock = Lock::read(&root)?;
    let mut pinned = 0;
    for name in names {
        let backend = settings.named_backend(&name)?.ok_or_else(|| {
            Failure::usage(format!(
                "there is no backend `{}` in the configuration",
                clean_line(&name)
            ))
            .hint("`hm backend list` shows all")
        })?;
        if !backend.is_repositorys {
            if args.names.is_empty() {
                continue;
            }
            return Err(Failure::usage(format!(
                "`{}` is a backend of your own configuration, not of this repository",
                clean_line(&name)
            )));
        }
        let (_, inspection) = super::inspect_component(&name, folders, &settings)?;
        lock.put(&root, &name, &backend.file, &inspection.digest);
        terminal.note(&format!("{}  {}", inspection.digest, clean_line(&name)));
        pinned += 1;
    }
    if pinned == 0 {
        return Err(Failure::usage(
            "this repository declares no backend, so that there is nothing to pin",
        )
        .hint("a backend is declared by [backends.NAME] in .hm/config.toml"));
    }
    lock.write()?;
    terminal.note(&format!("pinned in {}", lock.path().display()));
    Ok(Exit::Success)
}

//! `hm cache`: what is kept of earlier builds.

mod clear;
mod list;
mod prune;
mod restore;
mod save;

use std::io::Write;
use std::path::{Path, PathBuf};

use hm_vm::Subsystem;

use crate::config::{Folders, Layer, Settings};
use crate::failure::{Exit, Failure};
use crate::project;
use crate::run::{self, EngineName};
use crate::terminal::Terminal;

/// List and remove what is kept of earlier builds, or carry it to another machine
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    List(list::Args),
    Prune(prune::Args),
    #[command(alias = "clean")]
    Clear(clear::Args),
    Save(save::Args),
    Restore(restore::Args),
}

/// How a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// One JSON object
    Json,
}

/// What every command of this family works on.
struct Cache {
    /// With the engine that the configuration names.
    subsystem: Subsystem,
    /// With the others that have kept something.
    others: Vec<Subsystem>,
}

impl Cache {
    /// Opens all of it.
    async fn open(folders: &Folders, settings: &Settings) -> Result<Self, Failure> {
        let chosen = EngineName::chosen(folders, settings);
        let subsystem = run::cache(folders, settings, chosen)?;
        let kept = subsystem.cache_list().await.map_err(run::vm_failure)?;
        let mut others = Vec::new();
        for engine in EngineName::ALL {
            let has_kept = kept.iter().any(|entry| entry.engine == engine.name());
            if engine != chosen && has_kept {
                others.push(run::cache(folders, settings, engine)?);
            }
        }
        Ok(Self { subsystem, others })
    }

    /// Returns what there is for each engine.
    fn all(&self) -> impl Iterator<Item = &Subsystem> {
        std::iter::once(&self.subsystem).chain(&self.others)
    }

    /// Tells what there is to tell, and leaves nothing behind.
    async fn close(self, terminal: &Terminal) {
        for subsystem in self.all() {
            for warning in subsystem.warnings() {
                terminal.warn(&warning);
            }
            subsystem.settle().await;
            subsystem.engine().close().await;
        }
    }
}

/// Does what is asked.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let folders = Folders::find()?;
    let root = project::find_root(None)?;
    let settings = Settings::load(&folders, root.as_deref(), Layer::default())?;
    match &args.command {
        Command::List(args) => with(&folders, &settings, terminal, async |cache| {
            list::run(args, cache).await
        }),
        Command::Prune(args) => with(&folders, &settings, terminal, async |cache| {
            prune::run(args, cache).await
        }),
        Command::Clear(args) => with(&folders, &settings, terminal, async |cache| {
            clear::run(args, cache).await
        }),
        Command::Save(args) => with(&folders, &settings, terminal, async |cache| {
            save::run(args, cache, root.as_deref()).await
        }),
        Command::Restore(args) => with(&folders, &settings, terminal, async |cache| {
            restore::run(args, cache, root.as_deref()).await
        }),
    }
}

/// Opens the cache, does something with it, writes the answer, and leaves nothing behind.
fn with(
    folders: &Folders,
    settings: &Settings,
    terminal: &Terminal,
    work: impl AsyncFnOnce(&Cache) -> Result<String, Failure>,
) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Exit::Unavailable, "cannot start threads", error))?;
    let text = runtime.block_on(async {
        let cache = Cache::open(folders, settings).await?;
        let done = work(&cache).await;
        cache.close(terminal).await;
        done
    })?;
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Success)
}

/// Returns the repository's folder and its identity here.
async fn repository(cache: &Cache, root: Option<&Path>) -> Result<(PathBuf, String), Failure> {
    let Some(root) = root else {
        return Err(Failure::usage(
            "a cache belongs to a repository, and there is no `.hm` folder here or above",
        )
        .hint("run it in the repository"));
    };
    let id = cache
        .subsystem
        .repository_id(root)
        .await
        .map_err(run::vm_failure)?;
    Ok((root.to_owned(), id))
}

/// Returns a number with its noun.
fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

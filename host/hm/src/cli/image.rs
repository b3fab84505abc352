//! `hm image`: images for machines, without a daemon.

mod import;
mod list;
mod prune;
mod pull;
mod remove;

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hm_vm::sandbox::SandboxEngine;
use hm_vm::{Fetching, Progress, Subsystem};

use crate::config::{Folders, Layer, Settings};
use crate::failure::{Exit, Failure};
use crate::project;
use crate::run::{self, size};
use crate::terminal::Terminal;

/// Fetch, bring in, list and remove images; those of the sandbox engine, as Docker keeps its own
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Pull(pull::Args),
    Import(import::Args),
    #[command(alias = "ls")]
    List(list::Args),
    #[command(alias = "rm")]
    Remove(remove::Args),
    Prune(prune::Args),
}

/// What every command of this family works on.
struct Shelf {
    engine: Arc<SandboxEngine>,
    subsystem: Subsystem,
    terminal: Terminal,
}

/// Does what is asked.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let folders = Folders::find()?;
    let root = project::find_root(None)?;
    let settings = Settings::load(&folders, root.as_deref(), Layer::default())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Exit::Unavailable, "cannot start threads", error))?;
    let done = runtime.block_on(async {
        let (engine, subsystem) = run::images(&folders, &settings)?;
        let shelf = Shelf {
            engine,
            subsystem,
            terminal: *terminal,
        };
        // The start's own sweep would take what a command is to count.
        shelf.subsystem.settle().await;
        let done = tokio::select! {
            done = answer(&args.command, &shelf) => done,
            _ = tokio::signal::ctrl_c() => Err(Failure::silent(Exit::Cancelled)),
        };
        shelf.close().await;
        done
    });
    runtime.shutdown_background();
    std::io::stdout().lock().write_all(done?.as_bytes())?;
    Ok(Exit::Success)
}

async fn answer(command: &Command, shelf: &Shelf) -> Result<String, Failure> {
    match command {
        Command::Pull(args) => pull::run(args, shelf).await,
        Command::Import(args) => import::run(args, shelf).await,
        Command::List(args) => list::run(args, shelf).await,
        Command::Remove(args) => remove::run(args, shelf).await,
        Command::Prune(args) => prune::run(args, shelf).await,
    }
}

impl Shelf {
    /// Leaves nothing behind.
    async fn close(self) {
        for warning in self.subsystem.warnings() {
            self.terminal.warn(&warning);
        }
        self.engine.images().settle().await;
        self.subsystem.settle().await;
        self.subsystem.engine().close().await;
    }

    /// Tells the person how far something is, now and then.
    fn progress(&self) -> Progress {
        const TELL: Duration = Duration::from_secs(3);
        let (terminal, last) = (self.terminal, Mutex::new(None::<Instant>));
        Progress::new(move |fetching: Fetching| {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let is_first = last.is_none();
            if last.is_some_and(|last| last.elapsed() < TELL) {
                return;
            }
            *last = Some(Instant::now());
            let far = match fetching.total {
                _ if is_first => String::new(),
                Some(total) => format!(": {} of {}", size(fetching.done), size(total)),
                None => format!(": {}", size(fetching.done)),
            };
            terminal.note(&format!("pulling {}{far}", fetching.image));
        })
    }
}

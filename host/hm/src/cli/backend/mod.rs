//! `hm backend`: execution backends, and what they were allowed to do.

mod grant;
mod inspect;
mod list;
mod revoke;

use std::path::Path;

use hm_exec::{ComponentSource, Inspection};

use crate::config::{Folders, Settings};
use crate::failure::{Exit, Failure};
use crate::run::{self, Choice};
use crate::terminal::Terminal;

/// List, inspect and allow execution backends
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    List(list::Args),
    Inspect(inspect::Args),
    Grant(grant::Args),
    Revoke(revoke::Args),
}

/// Does what is asked.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let folders = Folders::find()?;
    match &args.command {
        Command::List(_) => list::run(&folders),
        Command::Inspect(args) => inspect::run(args, &folders),
        Command::Grant(args) => grant::run(args, &folders, terminal),
        Command::Revoke(args) => revoke::run(args, &folders, terminal),
    }
}

/// Inspects a component by its path or by its name in the configuration. Nothing of it runs.
fn inspect_component(
    name: &str,
    folders: &Folders,
    settings: &Settings,
) -> Result<(Choice, Inspection), Failure> {
    let choice = if Path::new(name).is_file() && name != "local" {
        Choice::Stranger(run::Stranger {
            name: Path::new(name)
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
            file: name.into(),
            settings: Vec::new(),
            from_repository: Vec::new(),
            http: Vec::new(),
        })
    } else {
        Choice::named(name, settings)?
    };
    let source = match &choice {
        Choice::Local => hm_exec::LocalBackend::source(),
        Choice::Stranger(stranger) => ComponentSource::File(stranger.file.clone()),
    };
    let loaded = run::runtime(folders)?
        .load(&source)
        .map_err(run::load_failure)?;
    Ok((choice, loaded.inspection().clone()))
}

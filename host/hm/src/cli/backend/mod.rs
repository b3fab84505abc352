//! `hm backend`: execution backends, and what they were allowed to do.

mod build;
mod dev;
mod grant;
mod inspect;
mod limits;
mod list;
mod lock;
mod new;
mod revoke;
mod test;

use std::path::Path;

use hm_exec::{ComponentSource, Inspection, Interface};

use crate::config::{Folders, Settings};
use crate::consent::{Need, VmNeed};
use crate::failure::{Exit, Failure};
use crate::run::{self, Choice};
use crate::terminal::Terminal;

/// List, inspect, allow and write execution backends
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
    Grant(Box<grant::Args>),
    Revoke(revoke::Args),
    Lock(lock::Args),
    Limits(limits::Args),
    New(new::Args),
    Build(build::Args),
    Dev(dev::Args),
    Test(test::Args),
}

/// Does what is asked.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let folders = Folders::find()?;
    match &args.command {
        Command::List(_) => list::run(&folders),
        Command::Inspect(args) => inspect::run(args, &folders),
        Command::Grant(args) => grant::run(args, &folders, terminal),
        Command::Revoke(args) => revoke::run(args, &folders, terminal),
        Command::Lock(args) => lock::run(args, &folders, terminal),
        Command::Limits(_) => limits::run(&folders),
        Command::New(args) => new::run(args, terminal),
        Command::Build(args) => build::run(args, &folders, terminal),
        Command::Dev(args) => dev::run(args, &folders, terminal),
        Command::Test(args) => test::run(args, &folders, terminal),
    }
}

/// Inspects a component by its path or by its name in the configuration. Nothing of it runs.
fn inspect_component(
    name: &str,
    folders: &Folders,
    settings: &Settings,
) -> Result<(Choice, Inspection), Failure> {
    let choice = if Path::new(name).is_file() && !["local", "cloud"].contains(&name) {
        Choice::Stranger(run::Stranger {
            name: Path::new(name)
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
            file: name.into(),
            settings: Vec::new(),
            from_repository: Vec::new(),
            http: Vec::new(),
            is_repositorys: false,
        })
    } else {
        Choice::named(name, settings)?
    };
    let source = match &choice {
        Choice::Local => hm_exec::LocalBackend::source(),
        Choice::Cloud(_) => hm_exec::CloudBackend::source(),
        Choice::Stranger(stranger) => ComponentSource::File(stranger.file.clone()),
    };
    let runtime = run::runtime(folders, settings)?;
    let examined = runtime
        .read(&source)
        .and_then(|file| runtime.examine(file))
        .map_err(run::load_failure)?;
    Ok((choice, examined.inspection().clone()))
}

/// Returns what any run here would need, whatever its plan.
fn need<'a>(
    inspection: &'a Inspection,
    root: &'a Path,
    settings: &Settings,
    from_repository: Option<String>,
) -> Need<'a> {
    let asks_vm = inspection.asks.contains(&Interface::Vm);
    Need {
        digest: &inspection.digest,
        root,
        interfaces: inspection
            .asks
            .iter()
            .map(|interface| interface.name())
            .collect(),
        vm: asks_vm.then(|| VmNeed {
            engine: run::engine_name(settings).to_owned(),
            images: std::collections::BTreeSet::new(),
            network: hm_plugin_protocol::Network::None,
        }),
        settings: from_repository,
        http: Vec::new(),
    }
}

//! `hm backend grant`: lets a component run, by the digest of its bytes.

use std::path::PathBuf;

use crate::config::{Folders, Layer, Settings};
use crate::consent::{self, Grant, GrantFile, VmReach};
use crate::failure::{Exit, Failure};
use crate::project;
use crate::run::{self, Choice};
use crate::terminal::Terminal;

/// Allow a component to run in this repository
#[derive(clap::Args)]
pub(super) struct Args {
    /// The digest of the component, or its file
    #[arg(value_name = "DIGEST|FILE")]
    component: String,
    /// It may start machines and run the pipeline's steps in them
    #[arg(long)]
    vm: bool,
    /// The furthest that its machines may reach
    #[arg(long, value_name = "NETWORK", value_parser = ["none", "public", "host"], requires = "vm", default_value = "none")]
    vm_network: String,
    /// In every repository, not only in this one
    #[arg(long)]
    any_repo: bool,
    /// The repository's folder, instead of the one that the current folder is in
    #[arg(short, long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Writes the grant.
pub(super) fn run(args: &Args, folders: &Folders, terminal: &Terminal) -> Result<Exit, Failure> {
    let root = project::find_root(args.dir.as_deref())?;
    let settings = Settings::load(folders, root.as_deref(), Layer::default())?;
    let (digest, name) = component(args, folders, &settings)?;
    let repo = match (&root, args.any_repo) {
        (_, true) => "*".to_owned(),
        (Some(root), false) => root.to_string_lossy().into_owned(),
        (None, false) => {
            return Err(Failure::usage(
                "this is no repository: there is no `.hm` folder here or above",
            )
            .hint("go to the repository in which the backend is to run, or add `--any-repo`"));
        }
    };
    let grant = Grant {
        name: name.clone(),
        repos: vec![repo],
        allow: if args.vm {
            vec!["vm".into()]
        } else {
            Vec::new()
        },
        settings: chosen_by_repository(&digest, folders, &settings),
        vm: run::network(&args.vm_network)
            .filter(|_| args.vm)
            .map(|network| VmReach { network }),
    };
    let mut grants = GrantFile::read(folders)?;
    grants.put(&digest, grant);
    grants.write()?;
    let place = if args.any_repo {
        "in every repository"
    } else {
        "in this repository"
    };
    terminal.note(&format!(
        "`{}` may run {place}\n  {digest}\n  to undo:  hm backend revoke {digest}",
        hm_render::clean_line(&name)
    ));
    Ok(Exit::Success)
}

/// Returns digest and name. A file is looked into, so that a grant that could not suffice
/// is told at once.
fn component(
    args: &Args,
    folders: &Folders,
    settings: &Settings,
) -> Result<(String, String), Failure> {
    if consent::is_digest(&args.component) {
        let short = args.component["sha256:".len()..].chars().take(12).collect();
        return Ok((args.component.clone(), short));
    }
    if args.component.starts_with("sha256:") {
        return Err(
            Failure::usage("a digest is `sha256:` and 64 digits from 0 to 9 and a to f")
                .hint("`hm backend inspect FILE` prints it"),
        );
    }
    let (choice, inspection) = super::inspect_component(&args.component, folders, settings)?;
    if matches!(choice, Choice::Local) {
        return Err(Failure::usage("`local` is built in, and needs no grant"));
    }
    let asks_vm = inspection
        .asks
        .iter()
        .any(|interface| interface.name() == "vm");
    if asks_vm && !args.vm {
        return Err(Failure::usage(format!(
            "`{}` asks for more than that:\n{}",
            args.component,
            run::describe(&inspection)
        ))
        .hint(format!("hm backend grant {} --vm", inspection.digest)));
    }
    Ok((inspection.digest.clone(), choice.name().to_owned()))
}

/// Returns what stands for the settings that this repository chose for the component, if it
/// is one of the configured ones.
fn chosen_by_repository(digest: &str, folders: &Folders, settings: &Settings) -> Option<String> {
    settings.backend_names().iter().find_map(|name| {
        let backend = settings.named_backend(name).ok()??;
        if backend.from_repository.is_empty() {
            return None;
        }
        let (_, inspection) = super::inspect_component(name, folders, settings).ok()?;
        (inspection.digest == digest)
            .then(|| consent::settings_digest(&backend.from_repository))
            .flatten()
    })
}

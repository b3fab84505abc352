//! `hm backend inspect`: what a component is and asks for, without running it.

use std::io::Write;

use hm_render::clean_line;

use crate::config::{Folders, Layer, Settings};
use crate::consent::{self, GrantFile, Need};
use crate::failure::{Exit, Failure};
use crate::{project, run};

/// Show what a component is and asks for, without running it
#[derive(clap::Args)]
pub(super) struct Args {
    /// A component's file, or a backend's name
    #[arg(value_name = "FILE|NAME")]
    component: String,
}

/// Prints digest, size, imports and whether it is allowed here.
pub(super) fn run(args: &Args, folders: &Folders) -> Result<Exit, Failure> {
    let root = project::find_root(None)?;
    let settings = Settings::load(folders, root.as_deref(), Layer::default())?;
    let (choice, inspection) = super::inspect_component(&args.component, folders, &settings)?;
    let mut text = format!("backend   {}\n", clean_line(choice.name()));
    text += &run::describe(&inspection, &choice.http());
    for (number, import) in inspection.imports.iter().enumerate() {
        let head = if number == 0 { "imports" } else { "" };
        text += &format!("{head:<8}  {}\n", clean_line(import));
    }
    text += &match &choice {
        run::Choice::Local => "allowed   it is built in\n".to_owned(),
        run::Choice::Stranger(stranger) => {
            let root = root.unwrap_or_default();
            let need = Need {
                digest: &inspection.digest,
                root: &root,
                interfaces: inspection
                    .asks
                    .iter()
                    .map(|interface| interface.name())
                    .collect(),
                network: hm_plugin_protocol::Network::None,
                settings: consent::settings_digest(&stranger.from_repository),
                http: stranger.patterns(),
            };
            match GrantFile::read(folders)?.covering(&need) {
                Ok(_) => "allowed   yes\n".to_owned(),
                Err(refusal) => format!(
                    "allowed   no: it {refusal}\nto allow  {}\n",
                    consent::command(&need)
                ),
            }
        }
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Success)
}

//! `hm backend revoke`: takes a grant away.

use crate::config::{Folders, Layer, Settings};
use crate::consent::{self, GrantFile};
use crate::failure::{Exit, Failure};
use crate::project;
use crate::terminal::Terminal;

/// Take a grant away
#[derive(clap::Args)]
pub(super) struct Args {
    /// The digest of the component, its file, or the name that the list shows
    #[arg(value_name = "DIGEST|FILE|NAME")]
    component: String,
}

/// Removes the grant.
pub(super) fn run(args: &Args, folders: &Folders, terminal: &Terminal) -> Result<Exit, Failure> {
    let mut grants = GrantFile::read(folders)?;
    let digest = find(&args.component, folders, &grants)?;
    if !grants.remove(&digest) {
        return Err(Failure::usage(format!(
            "there is no grant for {}",
            hm_render::clean_line(&digest)
        ))
        .hint("`hm backend list` shows all grants"));
    }
    grants.write()?;
    terminal.note(&format!("revoked  {digest}"));
    Ok(Exit::Success)
}

fn find(component: &str, folders: &Folders, grants: &GrantFile) -> Result<String, Failure> {
    if consent::is_digest(component) {
        return Ok(component.to_owned());
    }
    let named: Vec<_> = grants
        .grants()
        .iter()
        .filter(|(_, grant)| grant.name == component)
        .collect();
    match named.as_slice() {
        [(digest, _)] => return Ok((*digest).clone()),
        [] => {}
        several => {
            let digests: Vec<_> = several.iter().map(|(digest, _)| digest.as_str()).collect();
            return Err(Failure::usage(format!(
                "several grants have the name `{component}`:\n{}",
                digests.join("\n")
            )));
        }
    }
    let root = project::find_root(None)?;
    let settings = Settings::load(folders, root.as_deref(), Layer::default())?;
    let (_, inspection) = super::inspect_component(component, folders, &settings)?;
    Ok(inspection.digest.clone())
}

//! `hm image remove`: names, and what nobody needs without them.

use super::{Shelf, prune};
use crate::failure::{Failure, nearest};
use crate::run::vm_failure;

/// Take names away; layers that no other image has go too
#[derive(clap::Args)]
pub(super) struct Args {
    /// As `hm image list` shows them, or `sha256:…`
    #[arg(required = true)]
    names: Vec<String>,
}

/// Removes, and tells what.
pub(super) async fn run(args: &Args, shelf: &Shelf) -> Result<String, Failure> {
    let images = shelf.engine.images();
    let mut text = String::new();
    for name in &args.names {
        if !images.remove(name).await.map_err(vm_failure)? {
            let known = images.list().map_err(vm_failure)?;
            let known: Vec<_> = known.into_iter().filter_map(|image| image.name).collect();
            let failure = Failure::usage(format!("there is no image `{name}` here"));
            return Err(match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint("`hm image list` shows all"),
            });
        }
        text += &format!("removed {name}\n");
    }
    // What kept snapshots are built on is of no more use to them than to anybody else.
    let collected = prune::collect(shelf, &std::collections::HashSet::new()).await?;
    Ok(text + &prune::told(collected))
}

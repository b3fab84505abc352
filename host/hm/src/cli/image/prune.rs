//! `hm image prune`: what can be had again.

use std::collections::HashSet;

use hm_vm::image::{Collected, Origin};
use serde_json::json;

use super::Shelf;
use crate::failure::Failure;
use crate::run::{size, vm_failure};

/// Remove images that can be pulled again and on which nothing in the cache is built
#[derive(clap::Args)]
pub(super) struct Args {
    /// Imported images too, and those on which something in the cache is built
    #[arg(short, long)]
    all: bool,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

/// Removes, and tells what.
pub(super) async fn run(args: &Args, shelf: &Shelf) -> Result<String, Failure> {
    let images = shelf.engine.images();
    let mut keep = HashSet::new();
    if !args.all {
        keep = shelf.subsystem.images_in_use().await.map_err(vm_failure)?;
        let listed = images.list().map_err(vm_failure)?;
        let imported = listed
            .into_iter()
            .filter(|image| image.origin == Some(Origin::Imported));
        keep.extend(imported.map(|image| image.id));
    }
    let names = images.remove_unused(&keep).await.map_err(vm_failure)?;
    let collected = collect(shelf, &keep).await?;
    if args.json {
        let gone = collected.unwrap_or_default();
        let all = json!({
            "names": names, "images": gone.images, "layers": gone.layers, "bytes": gone.bytes,
            "in_use": collected.is_none(),
        });
        return Ok(format!("{all}\n"));
    }
    let noun = if names == 1 { "name" } else { "names" };
    Ok(format!("removed {names} {noun}\n{}", told(collected)))
}

/// Removes what no name stands for. None while another hm uses images.
pub(super) async fn collect(
    shelf: &Shelf,
    keep: &HashSet<String>,
) -> Result<Option<Collected>, Failure> {
    let (images, keep) = (shelf.engine.images().clone(), keep.clone());
    let done = tokio::task::spawn_blocking(move || images.collect(&keep)).await;
    match done {
        Ok(collected) => collected.map_err(vm_failure),
        Err(_) => Ok(None),
    }
}

/// Returns what was freed, in words.
pub(super) fn told(collected: Option<Collected>) -> String {
    match collected {
        Some(gone) => format!(
            "freed {} ({} layer{})\n",
            size(gone.bytes),
            gone.layers,
            if gone.layers == 1 { "" } else { "s" }
        ),
        None => "their layers go when no running hm uses images any more\n".to_owned(),
    }
}

//! `hm image pull`: from registries.

use super::Shelf;
use crate::failure::Failure;
use crate::run::vm_failure;

/// Ask registries what names stand for now, and fetch what is not here
#[derive(clap::Args)]
pub(super) struct Args {
    /// As `[HOST[:PORT]/]NAME[:TAG]` or `NAME@sha256:…`
    #[arg(required = true)]
    names: Vec<String>,
}

/// Fetches, and tells what.
pub(super) async fn run(args: &Args, shelf: &Shelf) -> Result<String, Failure> {
    let flavour = shelf.engine.layer_flavour().await.map_err(vm_failure)?;
    let mut text = String::new();
    for name in &args.names {
        let pulled = shelf
            .engine
            .images()
            .pull(name, flavour, &shelf.progress())
            .await;
        let (id, is_new) = pulled.map_err(vm_failure)?;
        let news = if is_new { "pulled" } else { "is up to date" };
        text += &format!("{name} {news}: {id}\n");
    }
    Ok(text)
}

//! `hm image list`: what is here.

use jiff::Timestamp;
use serde_json::json;

use super::Shelf;
use crate::failure::Failure;
use crate::run::{size, vm_failure};

/// List the images that are here
#[derive(clap::Args)]
pub(super) struct Args {
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

/// Characters of a digest that people see; all of it stands in the JSON.
const DIGEST: usize = 12;

/// Returns the list.
pub(super) async fn run(args: &Args, shelf: &Shelf) -> Result<String, Failure> {
    let images = shelf.engine.images().list().map_err(vm_failure)?;
    if args.json {
        let images: Vec<_> = images
            .iter()
            .map(|image| {
                json!({
                    "name": image.name, "id": image.id, "platform": image.platform.to_string(),
                    "layers": image.layers, "bytes": image.bytes, "origin": image.origin,
                    "at": Timestamp::from_millisecond(image.at).ok(),
                })
            })
            .collect();
        return Ok(format!("{}\n", json!({ "images": images })));
    }
    let width = images
        .iter()
        .filter_map(|image| image.name.as_ref())
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0)
        .max("(no name)".len());
    let mut text = String::new();
    for image in &images {
        let name = image.name.as_deref().unwrap_or("(no name)");
        let digest = image.id.split(':').nth(1).unwrap_or(&image.id);
        let digest: String = digest.chars().take(DIGEST).collect();
        let at = Timestamp::from_millisecond(image.at)
            .map(|time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
            .unwrap_or_default();
        text += &format!(
            "{name:<width$}  {digest}  {:<12}  {:>10}  {at}\n",
            image.platform.to_string(),
            size(image.bytes),
        );
    }
    if images.is_empty() {
        text += "no images; `hm image pull NAME` fetches one, and a run does so by itself\n";
    }
    Ok(text)
}

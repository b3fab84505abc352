//! What `docker save` writes: `manifest.json`, and the files that it names.

use oci_client::Reference;
use serde::Deserialize;
use uuid::Uuid;

use super::archive::Folder;
use super::{nameless, rootfs};
use crate::error::VmError;
use crate::image::assemble::check_platform;
use crate::image::config::Document;
use crate::image::failure;
use crate::image::images::parse;
use crate::image::making::Making;
use crate::image::store::Record;
use crate::image::unpacker::Unpacker;

/// One image of the archive.
#[derive(Debug, Deserialize)]
struct Saved {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags", default)]
    tags: Option<Vec<String>>,
    /// Bottom first.
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

/// Unpacks the images of the archive.
pub(super) async fn import(
    unpacker: &Unpacker,
    shown: &str,
    folder: Folder,
    name: Option<Reference>,
) -> Result<Vec<(Reference, Record)>, VmError> {
    let saved: Vec<Saved> = folder.json("manifest.json")?;
    if name.is_some() && saved.len() != 1 {
        let tags: Vec<_> = saved
            .iter()
            .flat_map(|image| image.tags.iter().flatten())
            .collect();
        return Err(failure::fetch(
            shown,
            format!("it holds {} images ({})", saved.len(), join(&tags)),
            "leave the name out, and each comes in under its own",
        ));
    }
    let mut imported = Vec::new();
    for image in &saved {
        let names: Vec<Reference> = match &name {
            Some(name) => vec![name.clone()],
            None => image
                .tags
                .iter()
                .flatten()
                .map(|tag| parse(tag))
                .collect::<Result<_, _>>()?,
        };
        if names.is_empty() {
            return Err(nameless(shown));
        }
        let record = unpack(unpacker, shown, &folder, image).await?;
        imported.extend(names.into_iter().map(|name| (name, record.clone())));
    }
    Ok(imported)
}

async fn unpack(
    unpacker: &Unpacker,
    shown: &str,
    folder: &Folder,
    image: &Saved,
) -> Result<Record, VmError> {
    let text = folder.text(&image.config)?;
    let document: Document = serde_json::from_slice(&text).map_err(|error| {
        failure::refused(shown, format!("its configuration cannot be read: {error}"))
    })?;
    check_platform(shown, &document.platform())?;
    let diff_ids = &document.rootfs.diff_ids;
    if diff_ids.len() != image.layers.len() {
        return Err(failure::refused(
            shown,
            format!(
                "it has {} layers, and its configuration {}",
                image.layers.len(),
                diff_ids.len()
            ),
        ));
    }
    for (layer, diff_id) in image.layers.iter().zip(diff_ids) {
        if unpacker.store.layer(unpacker.flavour, diff_id).is_some() {
            continue;
        }
        let archive = folder.needed(layer)?;
        let key = Uuid::new_v4().simple().to_string();
        let making = Making::take(&unpacker.store, &key).await?;
        unpacker
            .unpack(shown, diff_id, archive, Some(diff_id), making)
            .await?;
    }
    let id = rootfs::identity(&text, diff_ids)?;
    Ok(Record::new(
        id,
        document.platform(),
        diff_ids.clone(),
        document.image_config(),
    ))
}

fn join(names: &[&String]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| name.escape_debug().to_string())
        .collect();
    names.join(", ")
}

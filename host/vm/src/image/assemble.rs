//! From a manifest to an image that machines can boot, wherever its blobs come from.

use std::fs::File;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};

use super::config;
use super::failure::{self, short};
use super::layer::Flavour;
use super::making::Making;
use super::manifest::{Descriptor, Document, Manifest, SMALL};
use super::platform::Platform;
use super::store::Record;
use super::unpacker::Unpacker;
use crate::digest::{self, hex_of};
use crate::error::VmError;

/// Layers that are fetched and unpacked at once.
const AT_ONCE: usize = 3;

/// Where blobs come from. What it returns has been checked against the digest.
#[async_trait]
pub(super) trait Blobs: Send + Sync {
    /// Returns the image's name, for messages.
    fn image(&self) -> &str;

    /// Returns a manifest by its digest.
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, VmError>;

    /// Returns a small blob; callers have checked that it says to be small.
    async fn small(&self, descriptor: &Descriptor) -> Result<Vec<u8>, VmError>;

    /// Is told what will be fetched, before it is.
    fn expect(&self, layers: &[&Descriptor]);

    /// Returns a layer's archive.
    async fn layer(&self, descriptor: &Descriptor, making: &Making) -> Result<File, VmError>;
}

/// Makes an image of a manifest or an index. Layers that are here are not asked for.
pub(super) async fn assemble(
    unpacker: &Unpacker,
    blobs: &dyn Blobs,
    root: (Vec<u8>, String),
) -> Result<Record, VmError> {
    let image = blobs.image();
    let (manifest, id) = choose(blobs, root).await?;
    let config = read_config(blobs, &manifest).await?;
    let document: config::Document = serde_json::from_slice(&config).map_err(|error| {
        let kind = manifest.config.media_type.escape_debug().to_string();
        failure::refused(
            image,
            format!("it is no image of a file system: its configuration ({kind}) cannot be read: {error}"),
        )
    })?;
    let platform = document.platform();
    check_platform(image, &platform)?;
    let diff_ids = &document.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        return Err(failure::refused(
            image,
            format!(
                "its manifest has {} layers and its configuration {}",
                manifest.layers.len(),
                diff_ids.len()
            ),
        ));
    }
    for digest in diff_ids
        .iter()
        .chain(manifest.layers.iter().map(|layer| &layer.digest))
    {
        if hex_of(digest).is_none() {
            return Err(failure::refused(
                image,
                format!("`{}` is no sha256 digest", digest.escape_debug()),
            ));
        }
    }
    fetch_layers(unpacker, blobs, &manifest, diff_ids).await?;
    Ok(Record::new(
        id,
        platform,
        diff_ids.clone(),
        document.image_config(),
    ))
}

async fn fetch_layers(
    unpacker: &Unpacker,
    blobs: &dyn Blobs,
    manifest: &Manifest,
    diff_ids: &[String],
) -> Result<(), VmError> {
    let mut wanted: Vec<(&Descriptor, &String)> = Vec::new();
    for (layer, diff_id) in manifest.layers.iter().zip(diff_ids) {
        let is_new = !wanted.iter().any(|(_, known)| *known == diff_id);
        if is_new && unpacker.store.layer(unpacker.flavour, diff_id).is_none() {
            wanted.push((layer, diff_id));
        }
    }
    let layers: Vec<_> = wanted.iter().map(|(layer, _)| *layer).collect();
    blobs.expect(&layers);
    let fetching: Vec<BoxFuture<'_, Result<(), VmError>>> = wanted
        .into_iter()
        .map(|(layer, diff_id)| fetch_layer(unpacker, blobs, layer, diff_id).boxed())
        .collect();
    futures::stream::iter(fetching)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

async fn fetch_layer(
    unpacker: &Unpacker,
    blobs: &dyn Blobs,
    layer: &Descriptor,
    diff_id: &str,
) -> Result<(), VmError> {
    let Some(key) = hex_of(diff_id) else {
        return Err(super::store::no_digest(diff_id));
    };
    let key = match unpacker.flavour {
        Flavour::Trusted => format!("{key}-trusted"),
        Flavour::User => format!("{key}-user"),
    };
    let making = Making::take(&unpacker.store, &key).await?;
    if unpacker.store.layer(unpacker.flavour, diff_id).is_some() {
        // Another process has made it meanwhile.
        return Ok(());
    }
    let archive = blobs.layer(layer, &making).await?;
    unpacker
        .unpack(blobs.image(), &layer.digest, archive, Some(diff_id), making)
        .await
        .map(drop)
}

/// Follows an index to the manifest of this platform. Returns it with its digest.
async fn choose(
    blobs: &dyn Blobs,
    (text, digest): (Vec<u8>, String),
) -> Result<(Manifest, String), VmError> {
    let image = blobs.image();
    let read = |text: &[u8]| Document::read(text).map_err(|cause| failure::refused(image, cause));
    let manifests = match read(&text)? {
        Document::Image(manifest) => return Ok((manifest, digest)),
        Document::Index(manifests) => manifests,
    };
    let own = Platform::host();
    let chosen = match own.choose(manifests.iter().map(|entry| entry.platform.as_ref())) {
        Some(index) => &manifests[index],
        // Archives of one image often say nothing of its platform.
        None if manifests.len() == 1 && manifests[0].platform.is_none() => &manifests[0],
        None => return Err(no_platform(image, &own, &manifests)),
    };
    check_small(image, chosen)?;
    let text = blobs.manifest(chosen).await?;
    match read(&text)? {
        Document::Image(manifest) => Ok((manifest, chosen.digest.clone())),
        Document::Index(_) => Err(failure::refused(
            image,
            format!(
                "its index leads to another index, {}",
                short(&chosen.digest)
            ),
        )),
    }
}

fn no_platform(image: &str, own: &Platform, manifests: &[Descriptor]) -> VmError {
    let there: Vec<String> = manifests
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .filter(|platform| platform.os != "unknown")
        .map(|platform| platform.to_string().escape_debug().to_string())
        .collect();
    failure::refused(
        image,
        format!(
            "it is not made for {own}; there is {}",
            if there.is_empty() {
                "nothing".to_owned()
            } else {
                there.join(", ")
            }
        ),
    )
}

pub(super) fn check_platform(image: &str, platform: &Platform) -> Result<(), VmError> {
    let own = Platform::host();
    // Left out by some tools; then the image is taken by its word elsewhere.
    let is_unsaid = platform.os.is_empty() && platform.architecture.is_empty();
    if is_unsaid || own.runs(platform) {
        return Ok(());
    }
    Err(failure::refused(
        image,
        format!(
            "it is made for {}, and this machine is {own}",
            platform.to_string().escape_debug()
        ),
    ))
}

async fn read_config(blobs: &dyn Blobs, manifest: &Manifest) -> Result<Vec<u8>, VmError> {
    check_small(blobs.image(), &manifest.config)?;
    blobs.small(&manifest.config).await
}

fn check_small(image: &str, descriptor: &Descriptor) -> Result<(), VmError> {
    if descriptor.size <= SMALL {
        return Ok(());
    }
    Err(failure::refused(
        image,
        format!(
            "its document {} has {} bytes, at most {SMALL} are read",
            short(&descriptor.digest),
            descriptor.size
        ),
    ))
}

/// Checks content against its descriptor.
pub(super) fn check(image: &str, content: &[u8], descriptor: &Descriptor) -> Result<(), VmError> {
    let found = digest::of(content);
    if found == descriptor.digest {
        return Ok(());
    }
    Err(failure::refused(
        image,
        format!(
            "a document was promised with the digest {}, and what came has {found}",
            descriptor.digest.escape_debug()
        ),
    ))
}

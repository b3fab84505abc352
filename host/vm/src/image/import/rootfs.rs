//! A root file system in a tar.

use std::fs::File;

use crate::digest;
use crate::error::VmError;
use crate::image::config::{Document, ImageConfig, RootFs};
use crate::image::making::Making;
use crate::image::manifest::{Descriptor, Manifest};
use crate::image::platform::Platform;
use crate::image::store::Record;
use crate::image::unpacker::Unpacker;

/// Unpacks it as the only layer of an image that says nothing of commands.
pub(super) async fn import(
    unpacker: &Unpacker,
    shown: &str,
    archive: File,
    making: Making,
) -> Result<Record, VmError> {
    let diff_id = unpacker
        .unpack(shown, "archive", archive, None, making)
        .await?;
    let platform = Platform::host();
    let document = Document {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone(),
        config: None,
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: vec![diff_id.clone()],
        },
    };
    let config = serde_json::to_vec(&document)
        .map_err(|error| VmError::Other(format!("cannot write a configuration: {error}")))?;
    let layers = vec![diff_id];
    let id = identity(&config, &layers)?;
    Ok(Record::new(id, platform, layers, ImageConfig::default()))
}

/// Returns the digest of the manifest that such an image would have: what is brought in
/// without one is the same image everywhere.
pub(super) fn identity(config: &[u8], layers: &[String]) -> Result<String, VmError> {
    let descriptor = |kind: &str, digest: String, size: usize| Descriptor {
        media_type: format!("application/vnd.oci.image.{kind}"),
        digest,
        size: size as u64,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        config: descriptor("config.v1+json", digest::of(config), config.len()),
        layers: layers
            .iter()
            .map(|layer| descriptor("layer.v1.tar", layer.clone(), 0))
            .collect(),
    };
    serde_json::to_vec(&manifest)
        .map(|text| digest::of(&text))
        .map_err(|error| VmError::Other(format!("cannot write a manifest: {error}")))
}

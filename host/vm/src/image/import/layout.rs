//! An OCI image layout: `index.json`, and blobs by their digests.

use std::fs::File;
use std::io::Seek;

use async_trait::async_trait;
use oci_client::Reference;

use super::archive::Folder;
use super::{blocking, nameless};
use crate::digest::{self, hex_of};
use crate::error::VmError;
use crate::image::assemble::{Blobs, assemble, check};
use crate::image::failure;
use crate::image::images::parse;
use crate::image::making::Making;
use crate::image::manifest::{Descriptor, Document};
use crate::image::store::Record;
use crate::image::unpacker::Unpacker;
use crate::state::io_error;

/// Where tools write an image's name. The second is often a tag alone.
const NAMES: [&str; 2] = [
    "io.containerd.image.name",
    "org.opencontainers.image.ref.name",
];

/// Unpacks the images of the layout.
pub(super) async fn import(
    unpacker: &Unpacker,
    shown: &str,
    folder: Folder,
    name: Option<Reference>,
) -> Result<Vec<(Reference, Record)>, VmError> {
    let index = folder.text("index.json")?;
    let document = Document::read(&index).map_err(|cause| failure::refused(shown, cause))?;
    let Document::Index(manifests) = document else {
        return Err(failure::refused(shown, "its `index.json` is no index"));
    };
    let layout = Layout {
        shown: shown.to_owned(),
        folder,
    };
    let Some(name) = name else {
        let mut imported = Vec::new();
        for entry in &manifests {
            if let Some(name) = own_name(entry)? {
                imported.push((name, layout.one(unpacker, entry).await?));
            }
        }
        return if imported.is_empty() {
            Err(nameless(shown))
        } else {
            Ok(imported)
        };
    };
    let record = match manifests.as_slice() {
        [] => return Err(failure::refused(shown, "it holds no image")),
        [entry] => layout.one(unpacker, entry).await?,
        // One image for several platforms.
        several if several.iter().all(|entry| entry.platform.is_some()) => {
            let own = digest::of(&index);
            assemble(unpacker, &layout, (index, own)).await?
        }
        several => {
            let tags: Vec<String> = several
                .iter()
                .filter_map(|entry| NAMES.iter().find_map(|key| entry.annotations.get(*key)))
                .map(|tag| tag.escape_debug().to_string())
                .collect();
            return Err(failure::fetch(
                shown,
                format!("it holds {} images ({})", several.len(), tags.join(", ")),
                "leave the name out, if each has one; or take one out with a tool for layouts",
            ));
        }
    };
    Ok(vec![(name, record)])
}

/// Returns the name under which an entry says to be known, unless that is a tag alone.
fn own_name(entry: &Descriptor) -> Result<Option<Reference>, VmError> {
    let names = NAMES.iter().filter_map(|key| entry.annotations.get(*key));
    names
        .into_iter()
        .find(|name| name.contains([':', '/']))
        .map(|name| parse(name))
        .transpose()
}

struct Layout {
    shown: String,
    folder: Folder,
}

impl Layout {
    async fn one(&self, unpacker: &Unpacker, entry: &Descriptor) -> Result<Record, VmError> {
        let text = self.manifest(entry).await?;
        assemble(unpacker, self, (text, entry.digest.clone())).await
    }

    fn path(&self, descriptor: &Descriptor) -> Result<String, VmError> {
        match hex_of(&descriptor.digest) {
            Some(hex) => Ok(format!("blobs/sha256/{hex}")),
            None => Err(failure::refused(
                &self.shown,
                format!("`{}` is no sha256 digest", descriptor.digest.escape_debug()),
            )),
        }
    }
}

#[async_trait]
impl Blobs for Layout {
    fn image(&self) -> &str {
        &self.shown
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, VmError> {
        self.small(descriptor).await
    }

    async fn small(&self, descriptor: &Descriptor) -> Result<Vec<u8>, VmError> {
        let text = self.folder.text(&self.path(descriptor)?)?;
        check(&self.shown, &text, descriptor)?;
        Ok(text)
    }

    fn expect(&self, _: &[&Descriptor]) {}

    async fn layer(&self, descriptor: &Descriptor, _: &Making) -> Result<File, VmError> {
        let path = self.path(descriptor)?;
        let mut file = self.folder.needed(&path)?;
        let (shown, promised) = (self.shown.clone(), descriptor.digest.clone());
        blocking(move || {
            let found = digest::of_reader(&file).map_err(io_error("cannot read", &path))?;
            if found != promised {
                return Err(failure::refused(
                    &shown,
                    format!("its blob {promised} has the digest {found}"),
                ));
            }
            file.rewind().map_err(io_error("cannot read", &path))?;
            Ok(file)
        })
        .await
    }
}

//! From files to the registry.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{BLOBS, ENGINE, FORMAT, Index, KEY, MARKER, Marker, parse};
use crate::backend::{LayerRecord, SnapshotRecord};
use crate::digest;
use crate::error::VmError;
use crate::image::{Dialect, Flavour, Folder, ImageLimits, Refusal, Stop, Unpacking, unpack};
use crate::state::{StateDir, disk_space, io_error, write_error};

/// What was restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Snapshots that lookups find from now on.
    pub snapshots: u64,
    /// Snapshots that were here already.
    pub known: u64,
    /// Images that have to be pulled, or imported, before their snapshots are of use.
    pub images: Vec<String>,
}

/// A snapshot whose layers are here, under its key without the repository.
pub(crate) type Unpacked = ([u8; KEY], SnapshotRecord);

/// Checks what was saved, and unpacks the layers of the snapshots that are wanted into the
/// folder of kept layers. If anything is wrong nothing is left of it. Blocks.
pub(crate) fn restore(
    state: &StateDir,
    source: &Path,
    flavour: Flavour,
    wanted: impl Fn([u8; KEY]) -> Result<bool, VmError>,
) -> Result<(Vec<Unpacked>, Restored), VmError> {
    let saved = SavedCache::open(source)?;
    let mut restored = Restored::default();
    let mut chosen = Vec::new();
    for snapshot in &saved.index.snapshots {
        let Some(key) = parse(&snapshot.key) else {
            let cause = format!("`{}` is no key", snapshot.key.escape_debug());
            return Err(bad(source, cause, AGAIN));
        };
        if !wanted(key)? {
            restored.known += 1;
            continue;
        }
        if let Some(image) = &snapshot.image
            && !restored.images.contains(image)
        {
            restored.images.push(image.clone());
        }
        chosen.push((key, snapshot));
    }
    // All of them first: nothing is unpacked of what was changed on the way.
    let layers: Vec<&String> = chosen
        .iter()
        .flat_map(|(_, snapshot)| &snapshot.layers)
        .collect();
    saved.check(&layers)?;
    let mut placed = Placed {
        state,
        layers: HashMap::new(),
        is_done: false,
    };
    for layer in layers {
        if !placed.layers.contains_key(layer) {
            let record = saved.unpack(state, layer, flavour)?;
            placed.layers.insert(layer.clone(), record);
        }
    }
    let mut unpacked = Vec::with_capacity(chosen.len());
    for (key, snapshot) in chosen {
        let layers = snapshot
            .layers
            .iter()
            .filter_map(|digest| placed.layers.get(digest));
        let record = SnapshotRecord {
            id: Uuid::new_v4().simple().to_string(),
            flavour: flavour.name().to_owned(),
            image: snapshot.image.clone(),
            layers: layers.cloned().collect(),
        };
        unpacked.push((key, record));
    }
    placed.is_done = true;
    restored.snapshots = unpacked.len() as u64;
    Ok((unpacked, restored))
}

/// Layers that are in their place already; taken away again unless all goes well.
struct Placed<'a> {
    state: &'a StateDir,
    layers: HashMap<String, LayerRecord>,
    is_done: bool,
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        for layer in self.layers.values() {
            // What stays is found by the next start, as no row names it.
            let _ = self
                .state
                .discard(&self.state.kept_layers().join(&layer.id));
        }
    }
}

/// What was saved, with an index that is as it was written.
struct SavedCache {
    source: PathBuf,
    folder: Folder,
    index: Index,
}

impl SavedCache {
    fn open(source: &Path) -> Result<Self, VmError> {
        let folder = Folder::open("the saved cache", source)?;
        let marker: Marker = match folder.file(MARKER)? {
            Some(_) => folder.json(MARKER)?,
            None => {
                return Err(bad(
                    source,
                    format!("it has no {MARKER}"),
                    "is it a saved cache?",
                ));
            }
        };
        if marker.format != FORMAT {
            return Err(bad(
                source,
                format!(
                    "it has the format {}, and this hm reads {FORMAT}",
                    marker.format
                ),
                "save it again with this version of hm",
            ));
        }
        if marker.index.is_empty() {
            return Err(bad(source, "the save did not end".to_owned(), AGAIN));
        }
        let text = read(&folder, source, &marker.index)?;
        let index: Index = serde_json::from_slice(&text)
            .map_err(|error| bad(source, format!("its index cannot be read: {error}"), AGAIN))?;
        if index.engine != ENGINE {
            return Err(bad(
                source,
                format!("it holds snapshots of the engine `{}`", index.engine),
                "only the sandbox engine's can be restored",
            ));
        }
        if index.ownership && !rustix::process::geteuid().is_root() {
            return Err(bad(
                source,
                "it was saved by root, and its files belong to several users, to whom this user \
                 cannot give them"
                    .to_owned(),
                "restore it as root, or save it as an ordinary user",
            ));
        }
        Ok(Self {
            source: source.to_owned(),
            folder,
            index,
        })
    }

    fn blob(&self, digest: &str) -> Result<File, VmError> {
        let name = blob_name(&self.source, digest)?;
        self.folder.file(&name)?.ok_or_else(|| {
            bad(
                &self.source,
                format!("the layer {digest} is missing"),
                AGAIN,
            )
        })
    }

    /// Checks that blobs are what their names say.
    fn check(&self, digests: &[&String]) -> Result<(), VmError> {
        let mut checked: Vec<&String> = Vec::new();
        for &digest in digests {
            if checked.contains(&digest) {
                continue;
            }
            let found = digest::of_reader(self.blob(digest)?)
                .map_err(io_error("cannot read", &self.source))?;
            if found != *digest {
                return Err(changed(&self.source, digest, &found));
            }
            checked.push(digest);
        }
        Ok(())
    }

    /// Unpacks a layer to where kept ones lie.
    fn unpack(
        &self,
        state: &StateDir,
        digest: &str,
        flavour: Flavour,
    ) -> Result<LayerRecord, VmError> {
        let packed = self
            .index
            .layers
            .iter()
            .find(|layer| layer.digest == digest);
        let Some(packed) = packed else {
            let cause = format!("its index does not list the layer {digest}");
            return Err(bad(&self.source, cause, AGAIN));
        };
        let file = self.blob(digest)?;
        let id = Uuid::new_v4().simple().to_string();
        let folder = state.kept_layers().join(&id);
        std::fs::create_dir(&folder).map_err(write_error("cannot make", &folder))?;
        let how = Unpacking {
            flavour,
            ownership: rustix::process::geteuid().is_root(),
            limits: ImageLimits {
                // Our own archives, checked by their digests: they are as large as they are.
                bytes: u64::MAX,
                entries: u64::MAX,
                ratio: u64::MAX,
            },
            dialect: Dialect::Snapshot,
            stop: Stop::default(),
        };
        let done = unpack(file, &folder, &how).and_then(|unpacked| {
            if unpacked.diff_id == packed.diff_id {
                return Ok(());
            }
            Err(Refusal::Digest {
                found: unpacked.diff_id,
                promised: packed.diff_id.clone(),
            })
        });
        if let Err(refusal) = done {
            let _ = state.discard(&folder);
            return Err(if refusal.is_full() {
                VmError::Unavailable {
                    cause: format!("there is no room for the layer {digest}: {refusal}"),
                    remedy: "free some space on the state folder's disk, for example with `hm \
                             cache prune --to 0`"
                        .to_owned(),
                }
            } else {
                bad(
                    &self.source,
                    format!("the layer {digest} is refused: {refusal}"),
                    AGAIN,
                )
            });
        }
        Ok(LayerRecord {
            id,
            bytes: disk_space(&folder),
        })
    }
}

const AGAIN: &str = "save it again where it came from; builds run without it, only slower";

fn bad(source: &Path, cause: String, remedy: &str) -> VmError {
    VmError::Unavailable {
        cause: format!(
            "the saved cache {} cannot be restored: {cause}",
            source.display()
        ),
        remedy: remedy.to_owned(),
    }
}

fn changed(source: &Path, digest: &str, found: &str) -> VmError {
    bad(
        source,
        format!("{digest} was changed since it was saved: its digest is {found}; nothing was kept"),
        AGAIN,
    )
}

/// Reads a small blob that must be what its name says.
fn read(folder: &Folder, source: &Path, digest: &str) -> Result<Vec<u8>, VmError> {
    let name = blob_name(source, digest)?;
    if folder.file(&name)?.is_none() {
        return Err(bad(source, format!("its index {digest} is missing"), AGAIN));
    }
    let text = folder.large_text(&name)?;
    let found = digest::of(&text);
    if found == digest {
        Ok(text)
    } else {
        Err(changed(source, digest, &found))
    }
}

fn blob_name(source: &Path, name: &str) -> Result<String, VmError> {
    match digest::hex_of(name) {
        Some(hex) => Ok(format!("{BLOBS}/{hex}")),
        None => Err(bad(
            source,
            format!("`{}` is no digest", name.escape_debug()),
            AGAIN,
        )),
    }
}

//! From the registry to files.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::pack::pack;
use super::{BLOBS, ENGINE, FORMAT, Index, KEY, MARKER, Marker, PackedLayer, PackedSnapshot};
use crate::backend::SnapshotRecord;
use crate::digest;
use crate::error::VmError;
use crate::image::Flavour;
use crate::state::{StateDir, io_error, write_error};

/// How hard layers are compressed: fast, as CI stores them once and reads them often.
const LEVEL: i32 = 3;

/// What was saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Saved {
    /// Snapshots.
    pub snapshots: u64,
    /// Layers, each once.
    pub layers: u64,
    /// Bytes of all blobs.
    pub bytes: u64,
}

/// Where the files go.
pub(crate) enum Target<'a> {
    /// A folder, made if it is not there. What an earlier save left in it is replaced.
    Folder(&'a Path),
    /// A tar.
    Archive(&'a mut dyn Write),
}

/// Saves kept snapshots, each under its key without the repository. The caller holds
/// leases on them. Blocks.
pub(crate) fn save(
    state: &StateDir,
    snapshots: &[([u8; KEY], SnapshotRecord)],
    target: Target<'_>,
) -> Result<Saved, VmError> {
    let mut sink = Sink::open(state, target)?;
    let ownership = rustix::process::geteuid().is_root();
    let mut layers: Vec<PackedLayer> = Vec::new();
    let mut known: HashMap<String, String> = HashMap::new();
    let mut packed = Vec::with_capacity(snapshots.len());
    for (key, record) in snapshots {
        let flavour = Flavour::named(&record.flavour).ok_or_else(|| {
            VmError::Other(format!(
                "snapshots of the kind `{}` are not files",
                record.flavour
            ))
        })?;
        let mut digests = Vec::with_capacity(record.layers.len());
        for layer in &record.layers {
            if !known.contains_key(&layer.id) {
                let folder = state.kept_layers().join(&layer.id);
                let new = sink.layer(&folder, flavour, ownership)?;
                known.insert(layer.id.clone(), new.digest.clone());
                if !layers.iter().any(|layer| layer.digest == new.digest) {
                    layers.push(new);
                }
            }
            digests.extend(known.get(&layer.id).cloned());
        }
        packed.push(PackedSnapshot {
            key: hex::encode(key),
            image: record.image.clone(),
            layers: digests,
        });
    }
    let saved = Saved {
        snapshots: packed.len() as u64,
        layers: layers.len() as u64,
        bytes: layers.iter().map(|layer| layer.size).sum(),
    };
    sink.finish(&Index {
        engine: ENGINE.to_owned(),
        ownership,
        snapshots: packed,
        layers,
    })?;
    Ok(saved)
}

enum Sink<'a> {
    Folder {
        root: PathBuf,
        /// Blobs of this save; what else is there goes at the end.
        written: Vec<String>,
    },
    Archive {
        builder: tar::Builder<&'a mut dyn Write>,
        /// For blobs, whose size must be known before they are written.
        scratch: PathBuf,
    },
}

impl<'a> Sink<'a> {
    fn open(state: &StateDir, target: Target<'a>) -> Result<Self, VmError> {
        match target {
            Target::Folder(root) => {
                claim(root)?;
                Ok(Self::Folder {
                    root: root.to_owned(),
                    written: Vec::new(),
                })
            }
            Target::Archive(to) => Ok(Self::Archive {
                builder: tar::Builder::new(to),
                scratch: state.root().to_owned(),
            }),
        }
    }

    fn layer(
        &mut self,
        folder: &Path,
        flavour: Flavour,
        ownership: bool,
    ) -> Result<PackedLayer, VmError> {
        let failed = |error: io::Error| write_error("cannot save the layer", folder)(error);
        let mut diff_id = String::new();
        let (digest, size) = self.blob(
            |to| {
                let mut encoder = zstd::stream::write::Encoder::new(to, LEVEL)?;
                diff_id = pack(folder, flavour, ownership, &mut encoder)?;
                encoder.finish().map(drop)
            },
            &failed,
        )?;
        Ok(PackedLayer {
            digest,
            size,
            diff_id,
        })
    }

    /// Writes a blob under its digest. Returns digest and size.
    fn blob(
        &mut self,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
        failed: &dyn Fn(io::Error) -> VmError,
    ) -> Result<(String, u64), VmError> {
        match self {
            Self::Folder { root, written } => {
                let blobs = root.join(BLOBS);
                let file = NamedTempFile::with_prefix_in(".new-", &blobs).map_err(failed)?;
                let (digest, size) = measured(file.as_file(), fill).map_err(failed)?;
                let hex = digest.trim_start_matches("sha256:").to_owned();
                file.persist(blobs.join(&hex))
                    .map_err(|error| failed(error.error))?;
                written.push(hex);
                Ok((digest, size))
            }
            Self::Archive { builder, scratch } => {
                // Without a name, so that nothing is left of it however this ends.
                let mut file = tempfile::tempfile_in(scratch).map_err(failed)?;
                let (digest, size) = measured(&file, fill).map_err(failed)?;
                file.rewind().map_err(failed)?;
                let name = format!("{BLOBS}/{}", digest.trim_start_matches("sha256:"));
                append(builder, &name, size, &file).map_err(failed)?;
                Ok((digest, size))
            }
        }
    }

    /// Writes what everything hangs on.
    fn finish(mut self, index: &Index) -> Result<(), VmError> {
        let failed = |error: io::Error| write_error("cannot save", "the index")(error);
        let text = json(index)?;
        let (digest, _) = self.blob(|to| to.write_all(&text), &failed)?;
        let marker = json(&Marker {
            format: FORMAT,
            index: digest,
        })?;
        match self {
            Self::Folder { root, written } => {
                let mut file = NamedTempFile::with_prefix_in(".new-", &root).map_err(failed)?;
                file.write_all(&marker).map_err(failed)?;
                file.persist(root.join(MARKER))
                    .map_err(|error| failed(error.error))?;
                tidy(&root, &written);
                Ok(())
            }
            Self::Archive { mut builder, .. } => {
                append(&mut builder, MARKER, marker.len() as u64, &marker[..]).map_err(failed)?;
                builder.finish().map_err(failed)?;
                let to = builder.into_inner().map_err(failed)?;
                to.flush().map_err(failed)
            }
        }
    }
}

/// Fills a file, and returns the digest and the number of bytes.
fn measured(
    file: &File,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<(String, u64)> {
    struct Measured<'a> {
        file: BufWriter<&'a File>,
        hash: Sha256,
        size: u64,
    }
    impl Write for Measured<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let written = self.file.write(bytes)?;
            self.hash.update(&bytes[..written]);
            self.size += written as u64;
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.file.flush()
        }
    }
    let mut measured = Measured {
        file: BufWriter::with_capacity(256 << 10, file),
        hash: Sha256::new(),
        size: 0,
    };
    fill(&mut measured)?;
    measured.flush()?;
    Ok((digest::written(measured.hash), measured.size))
}

fn append(
    builder: &mut tar::Builder<&mut dyn Write>,
    name: &str,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    builder.append_data(&mut header, name, content)
}

/// Makes a folder one of ours, unless it is somebody else's: what is stale in it will be
/// removed.
fn claim(root: &Path) -> Result<(), VmError> {
    let blobs = root.join(BLOBS);
    let is_empty = match fs::read_dir(root) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(io_error("cannot read", root)(error)),
    };
    let marker = root.join(MARKER);
    if !is_empty && !marker.is_file() {
        return Err(VmError::Unavailable {
            cause: format!("{} is no saved cache, and not empty", root.display()),
            remedy: "save to a new folder, or to a file as `NAME.tar`".to_owned(),
        });
    }
    fs::create_dir_all(&blobs).map_err(write_error("cannot make", &blobs))?;
    if marker.is_file() {
        return Ok(());
    }
    let unfinished = json(&Marker {
        format: FORMAT,
        index: String::new(),
    })?;
    fs::write(&marker, unfinished).map_err(write_error("cannot write", &marker))
}

/// Removes what earlier saves left in a folder, those that were killed included.
fn tidy(root: &Path, written: &[String]) {
    for folder in [root.to_owned(), root.join(BLOBS)] {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_stale = name.starts_with(".new-")
                || folder != root && name.len() == 64 && !written.iter().any(|hex| *hex == name);
            if is_stale {
                // Only room is lost if it stays.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, VmError> {
    serde_json::to_vec(value)
        .map_err(|error| VmError::Other(format!("cannot write what was saved: {error}")))
}

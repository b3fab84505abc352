//! Images from files and folders: a root file system in a tar, what `docker save` writes,
//! an OCI image layout as a folder or a tar.

mod archive;
mod docker;
mod layout;
mod rootfs;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use oci_client::Reference;
use uuid::Uuid;

use super::failure;
use super::layer::{Dialect, Flavour, ImageLimits, Stop, Unpacking, unpack};
use super::making::Making;
use super::store::{Record, Store};
use super::unpacker::Unpacker;
use crate::error::VmError;
use crate::state::{StateDir, io_error, write_error};
pub(crate) use archive::Folder;
use archive::Kind;

/// Where an image comes from.
#[derive(Debug)]
pub enum ImportSource {
    /// A file or folder.
    Path(PathBuf),
    /// Anything that can be read to its end: a pipe, standard input.
    Stream(File),
}

impl ImportSource {
    /// Returns what messages call it.
    fn shown(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Stream(_) => "standard input".to_owned(),
        }
    }
}

/// Unpacks what a source holds. With a name it must be one image; without, images need
/// names of their own.
pub(super) async fn import(
    unpacker: &Unpacker,
    source: &ImportSource,
    name: Option<Reference>,
) -> Result<Vec<(Reference, Record)>, VmError> {
    let shown = source.shown();
    let making = Making::take(&unpacker.store, &Uuid::new_v4().simple().to_string()).await?;
    let path = match source {
        ImportSource::Path(path) => path.clone(),
        ImportSource::Stream(stream) => spool(stream, &making).await?,
    };
    if path.is_dir() {
        let folder = Folder::open(&shown, &path)?;
        return layout::import(unpacker, &shown, folder, name).await;
    }
    let kind = {
        let (path, shown, limits) = (path.clone(), shown.clone(), unpacker.limits);
        blocking(move || {
            archive::kind(&path, limits)
                .map_err(|refusal| failure::layer(&shown, "archive", &refusal))
        })
        .await?
    };
    if kind == Kind::RootFileSystem {
        let name = name.ok_or_else(|| nameless(&shown))?;
        let record = rootfs::import(unpacker, &shown, open(&path)?, making).await?;
        return Ok(vec![(name, record)]);
    }
    let folder = unpack_archive(unpacker, &shown, &path, &making).await?;
    if kind == Kind::Layout {
        layout::import(unpacker, &shown, folder, name).await
    } else {
        docker::import(unpacker, &shown, folder, name).await
    }
}

/// Writes a stream to a file, as it is read twice.
async fn spool(stream: &File, making: &Making) -> Result<PathBuf, VmError> {
    let path = making.blob();
    let mut from = stream
        .try_clone()
        .map_err(io_error("cannot read", "standard input"))?;
    let to = path.clone();
    blocking(move || {
        let mut file = File::create(&to).map_err(write_error("cannot make", &to))?;
        io::copy(&mut from, &mut file).map_err(write_error("cannot write", &to))?;
        Ok(())
    })
    .await?;
    Ok(path)
}

/// Unpacks an archive of blobs, which may be as hostile as a layer.
async fn unpack_archive(
    unpacker: &Unpacker,
    shown: &str,
    path: &Path,
    making: &Making,
) -> Result<Folder, VmError> {
    let target = making.folder().join("archive");
    std::fs::create_dir(&target).map_err(write_error("cannot make", &target))?;
    let how = Unpacking {
        flavour: unpacker.flavour,
        ownership: false,
        limits: unpacker.limits,
        dialect: Dialect::Snapshot,
        stop: Stop::default(),
    };
    let (file, into, name) = (open(path)?, target.clone(), shown.to_owned());
    blocking(move || {
        unpack(file, &into, &how)
            .map(drop)
            .map_err(|refusal| failure::layer(&name, "archive", &refusal))
    })
    .await?;
    Folder::open(shown, &target)
}

/// A folder of an unpacked archive; it goes with this.
#[derive(Debug)]
pub(crate) struct Staged {
    _making: Making,
}

/// Unpacks an archive of blobs for somebody else to read. Nobody has checked what is in it.
pub(crate) async fn stage_archive(
    state: &StateDir,
    archive: File,
) -> Result<(Staged, PathBuf), VmError> {
    let store = Store::open(state)?;
    let making = Making::take(&store, &Uuid::new_v4().simple().to_string()).await?;
    let target = making.folder().join("archive");
    std::fs::create_dir(&target).map_err(write_error("cannot make", &target))?;
    let how = Unpacking {
        flavour: Flavour::User,
        ownership: false,
        limits: ImageLimits::default(),
        dialect: Dialect::Snapshot,
        stop: Stop::default(),
    };
    let into = target.clone();
    blocking(move || {
        unpack(archive, &into, &how)
            .map(drop)
            .map_err(|refusal| VmError::Unavailable {
                cause: format!("the saved cache cannot be unpacked: {refusal}"),
                remedy: "save it again where it came from, and see that there is room for it"
                    .to_owned(),
            })
    })
    .await?;
    Ok((Staged { _making: making }, target))
}

fn open(path: &Path) -> Result<File, VmError> {
    File::open(path).map_err(io_error("cannot open", path))
}

fn nameless(shown: &str) -> VmError {
    failure::fetch(
        shown,
        "it has no name of its own",
        format!("give it one: `hm image import {shown} NAME[:TAG]`"),
    )
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VmError> + Send + 'static,
) -> Result<T, VmError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(VmError::Other(format!("the import was cut short: {error}"))),
    }
}

//! `hm image import`: from files.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use hm_vm::image::ImportSource;

use super::Shelf;
use crate::failure::{Exit, Failure};
use crate::run::vm_failure;

/// Bring an image in: a root file system in a tar, what `docker save` writes, or an OCI layout
#[derive(clap::Args)]
pub(super) struct Args {
    /// A file, a folder, or `-` for standard input; gzip and zstd are unpacked
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// What it is called here; archives of images have names of their own
    name: Option<String>,
}

/// Brings it in, and tells under which names.
pub(super) async fn run(args: &Args, shelf: &Shelf) -> Result<String, Failure> {
    let source = source(&args.source)?;
    let flavour = shelf.engine.layer_flavour().await.map_err(vm_failure)?;
    let imported = shelf
        .engine
        .images()
        .import(&source, args.name.as_deref(), flavour)
        .await
        .map_err(vm_failure)?;
    let lines = imported
        .iter()
        .map(|(name, id)| format!("imported {name}: {id}\n"));
    Ok(lines.collect())
}

fn source(path: &Path) -> Result<ImportSource, Failure> {
    let failed = |error| {
        Failure::caused(
            Exit::Usage,
            format!("cannot read {}", path.display()),
            error,
        )
    };
    if path != Path::new("-") {
        std::fs::metadata(path).map_err(failed)?;
        return Ok(ImportSource::Path(path.to_owned()));
    }
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    Ok(ImportSource::Stream(File::from(stdin.map_err(failed)?)))
}

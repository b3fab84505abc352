//! `hm cache restore`: from files that another machine has saved.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use hm_vm::RestoreFrom;

use super::{Cache, count, repository};
use crate::failure::{Exit, Failure};
use crate::run::vm_failure;

/// Restore a saved cache for this repository; what was changed on the way is refused
#[derive(clap::Args)]
pub(super) struct Args {
    /// A folder, a tar, or `-` for a tar on standard input
    #[arg(value_name = "PATH")]
    from: PathBuf,
}

/// Restores, and tells what.
pub(super) async fn run(
    args: &Args,
    cache: &Cache,
    root: Option<&Path>,
) -> Result<String, Failure> {
    let (_, repository) = repository(cache, root).await?;
    let restored = cache
        .subsystem
        .cache_restore(source(&args.from)?, &repository)
        .await
        .map_err(vm_failure)?;
    let mut text = format!("restored {}", count(restored.snapshots, "snapshot"));
    if restored.known > 0 {
        text += &format!("; {} were here already", restored.known);
    }
    text.push('\n');
    for image in &restored.images {
        text += &format!("built on the image {image}, which a run pulls when it needs it\n");
    }
    Ok(text)
}

fn source(path: &Path) -> Result<RestoreFrom, Failure> {
    let failed = |error| {
        Failure::caused(
            Exit::Usage,
            format!("cannot read {}", path.display()),
            error,
        )
        .hint("give what `hm cache save` wrote; a CI's cache that has nothing yet needs no restore")
    };
    if path == Path::new("-") {
        let stdin = std::io::stdin().as_fd().try_clone_to_owned();
        return Ok(RestoreFrom::Archive(File::from(stdin.map_err(failed)?)));
    }
    if std::fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(RestoreFrom::Folder(path.to_owned()));
    }
    File::open(path).map(RestoreFrom::Archive).map_err(failed)
}

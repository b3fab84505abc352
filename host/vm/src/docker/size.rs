//! Disk space of layers.

use std::fs;
use std::sync::Arc;

use bollard::container::LogOutput;
use futures::StreamExt;

use super::container;
use super::engine::Core;
use super::execution::start_first;
use super::image::Image;
use super::layer::{Foundation, Layer};
use super::workspace::FOLDER;
use crate::error::VmError;
use crate::state::disk_space;

/// Counts the disk space of each layer, unless that is known.
pub(super) async fn measure(core: &Arc<Core>, foundation: &Foundation) -> Result<(), VmError> {
    let mut below = foundation.image.bytes;
    for commit in foundation.commits.iter().rev() {
        if commit.bytes.get().is_none() {
            // The daemon counts an image with all that it is made of.
            let found = Image::inspect(&core.daemon, &Layer::reference(&commit.name))
                .await
                .map_err(core.daemon.failed("look at an image"))?;
            let bytes = found.map_or(0, |image| image.bytes.saturating_sub(below));
            let _ = commit.bytes.set(bytes);
        }
        below += commit.bytes.get().copied().unwrap_or(0);
    }
    let volumes = foundation.volumes.values().flatten();
    for upper in foundation.uppers.iter().chain(volumes) {
        if upper.bytes.get().is_some() {
            continue;
        }
        let bytes = if fs::read_dir(&upper.place).is_ok() {
            let layer = Arc::clone(upper);
            let counted = tokio::task::spawn_blocking(move || disk_space(&layer.place)).await;
            counted.unwrap_or(0)
        } else {
            // The daemon's folders are not this user's to read, or not on this machine.
            let asking = ask(Arc::clone(core), foundation.reference(), upper.name.clone());
            core.chores.finish(asking).await?
        };
        let _ = upper.bytes.set(bytes);
    }
    Ok(())
}

/// Has a container count what is in a volume; what the image has no means to count is taken
/// for empty.
async fn ask(core: Arc<Core>, image: String, volume: String) -> Result<u64, VmError> {
    let command = format!("du -sk {FOLDER}");
    let container = container::to_look_into(&core, &image, &volume, &command).await?;
    let mut said = Vec::new();
    let mut frames = start_first(&core, &container, None).await?;
    while let Some(Ok(LogOutput::StdOut { message })) = frames.next().await {
        said.extend_from_slice(&message);
    }
    container.remove().await;
    let said = String::from_utf8_lossy(&said);
    let kib: Option<u64> = said
        .split_whitespace()
        .next()
        .and_then(|kib| kib.parse().ok());
    Ok(kib.unwrap_or(0) << 10)
}

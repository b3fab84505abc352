//! What dead processes left at the daemon.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder,
};

use super::container;
use super::daemon::Daemon;
use super::failure::words;
use super::labels::{filter, is_orphan, name_in_tag};
use super::layer::{self, Kind, Layer};
use crate::error::VmError;
use crate::state::StateDir;

/// Where something was found it is looked for again: the daemon finishes what it was asked for
/// by a process that has died since.
const PASSES: u32 = 8;
const BETWEEN: Duration = Duration::from_millis(200);

/// Removes the containers, networks, volumes and images of a state folder whose makers have
/// died, but for what the registry keeps. Returns how many things went.
pub(super) async fn reap(daemon: &Daemon, state: &StateDir) -> Result<usize, VmError> {
    let mut gone = 0;
    for _ in 0..PASSES {
        let found = pass(daemon, state).await?;
        gone += found;
        if found == 0 {
            break;
        }
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(gone)
}

async fn pass(daemon: &Daemon, state: &StateDir) -> Result<usize, VmError> {
    let mut gone = 0;
    // In this order, as each may be in use by the one before.
    gone += containers(daemon, state).await?;
    gone += networks(daemon, state).await?;
    gone += volumes(daemon, state).await?;
    gone += images(daemon, state).await?;
    Ok(gone)
}

async fn containers(daemon: &Daemon, state: &StateDir) -> Result<usize, VmError> {
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filter(state))
        .build();
    let all = daemon
        .docker
        .list_containers(Some(options))
        .await
        .map_err(daemon.failed("list containers"))?;
    let mut gone = 0;
    for found in all {
        let labels = found.labels.unwrap_or_default();
        if let Some(id) = found.id.filter(|_| is_orphan(state, &labels)) {
            container::remove(daemon, &id).await;
            gone += 1;
        }
    }
    Ok(gone)
}

async fn networks(daemon: &Daemon, state: &StateDir) -> Result<usize, VmError> {
    let options = ListNetworksOptionsBuilder::new()
        .filters(&filter(state))
        .build();
    let all = daemon
        .docker
        .list_networks(Some(options))
        .await
        .map_err(daemon.failed("list networks"))?;
    let mut gone = 0;
    for found in all {
        let labels = found.labels.unwrap_or_default();
        if let Some(id) = found.id.filter(|_| is_orphan(state, &labels)) {
            match daemon.docker.remove_network(&id).await {
                Ok(()) => gone += 1,
                Err(error) => tracing::debug!(id, error = words(&error), "cannot remove a network"),
            }
        }
    }
    Ok(gone)
}

async fn volumes(daemon: &Daemon, state: &StateDir) -> Result<usize, VmError> {
    let options = ListVolumesOptionsBuilder::new()
        .filters(&filter(state))
        .build();
    let all = daemon
        .docker
        .list_volumes(Some(options))
        .await
        .map_err(daemon.failed("list volumes"))?;
    let found = all.volumes.unwrap_or_default();
    let names = found.into_iter().map(|volume| (volume.name, volume.labels));
    Ok(remove(daemon, state, Kind::Volume, names).await)
}

async fn images(daemon: &Daemon, state: &StateDir) -> Result<usize, VmError> {
    let options = ListImagesOptionsBuilder::new()
        .filters(&filter(state))
        .build();
    let all = daemon
        .docker
        .list_images(Some(options))
        .await
        .map_err(daemon.failed("list images"))?;
    let mut gone = 0;
    // The newest first: a child before what it is made of.
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|image| std::cmp::Reverse(image.created));
    for image in all {
        let tags = image.repo_tags.iter();
        let names: Vec<_> = tags
            .filter_map(|tag| name_in_tag(tag))
            .map(|name| (name.to_owned(), image.labels.clone()))
            .collect();
        if names.is_empty() && is_orphan(state, &image.labels) {
            // Committed, and its maker died before it was told the name.
            gone += usize::from(layer::remove_untagged(daemon, &image.id).await);
        }
        gone += remove(daemon, state, Kind::Image, names.into_iter()).await;
    }
    Ok(gone)
}

async fn remove(
    daemon: &Daemon,
    state: &StateDir,
    kind: Kind,
    names: impl Iterator<Item = (String, HashMap<String, String>)>,
) -> usize {
    let mut gone = 0;
    let kept: HashSet<String> = kept(state, kind);
    for (name, labels) in names {
        if kept.contains(&name) || !is_orphan(state, &labels) {
            continue;
        }
        match layer::remove(daemon, kind, &name).await {
            Ok(()) => gone += 1,
            Err(error) => tracing::debug!(name, %error, "cannot remove what a dead process left"),
        }
    }
    gone
}

/// Returns the names of the layers that the registry keeps.
fn kept(state: &StateDir, kind: Kind) -> HashSet<String> {
    let folders = std::fs::read_dir(state.kept_layers());
    let ids = folders.into_iter().flatten().flatten();
    ids.filter_map(|folder| {
        let id = folder.file_name();
        let (found, name, _) = Layer::parse(id.to_str()?)?;
        (found == kind).then(|| name.to_owned())
    })
    .collect()
}

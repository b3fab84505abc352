//! The frozen source, where the daemon can mount it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, UploadToContainerOptionsBuilder,
};
use tokio::sync::{Mutex, OnceCell};

use super::container;
use super::engine::Core;
use super::layer::{Kind, Layer};
use super::workspace::{FOLDER, Workspace, plain};
use crate::error::VmError;
use crate::source::{Flavour, archive};
use crate::state::io_error;

/// What lies below everything in a machine's workspace.
#[derive(Debug, Clone, Default)]
pub(super) struct Lowest {
    /// As the daemon sees them, topmost first.
    pub(super) places: Vec<PathBuf>,
    /// Overlays are mounted with `userxattr`.
    pub(super) is_user_flavour: bool,
    /// What must last as long as it is mounted.
    sent: Option<Arc<Layer>>,
}

impl Lowest {
    /// Returns the same flavour over nothing.
    pub(super) fn without_places(&self) -> Self {
        Self {
            is_user_flavour: self.is_user_flavour,
            ..Self::default()
        }
    }
}

/// How the daemon gets at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It sees this machine's files, and mounts the frozen layers themselves.
    Shared,
    /// It does not; they are sent to a volume.
    Sent,
}

/// The sources of builds, and the way that they take.
#[derive(Debug)]
pub(super) struct Sources {
    way: OnceCell<Way>,
    /// Of the newest build: an engine serves one at a time, as a rule.
    sent: Mutex<Option<Sent>>,
}

/// A source that was sent.
#[derive(Debug)]
struct Sent {
    layers: Arc<[PathBuf]>,
    volume: Arc<Layer>,
}

impl Sources {
    /// `always_sends` leaves no choice.
    pub(super) fn new(always_sends: bool) -> Self {
        Self {
            way: OnceCell::new_with(always_sends.then_some(Way::Sent)),
            sent: Mutex::default(),
        }
    }

    /// Returns what to mount a build's source from. `image` is any that the daemon has.
    ///
    /// # Errors
    /// [`VmError::Unavailable`] where the daemon cannot mount overlays at all.
    pub(super) async fn lowest(
        &self,
        core: &Arc<Core>,
        layers: &Arc<[PathBuf]>,
        image: &str,
    ) -> Result<Lowest, VmError> {
        let way = self.way(core, image).await?;
        let mut lowest = Lowest {
            places: Vec::new(),
            is_user_flavour: is_user_flavour(core, way),
            sent: None,
        };
        if layers.is_empty() {
            return Ok(lowest);
        }
        match way {
            Way::Shared => {
                lowest.places = layers.iter().map(|layer| layer.join("workspace")).collect();
            }
            Way::Sent => {
                let volume = self.send(core, layers, image).await?;
                lowest.places = vec![volume.place.clone()];
                lowest.sent = Some(volume);
            }
        }
        Ok(lowest)
    }

    /// Lets go of what was sent.
    pub(super) async fn forget(&self) {
        self.sent.lock().await.take();
    }

    /// Finds out, once, whether the daemon sees this machine's files.
    pub(super) async fn way(&self, core: &Arc<Core>, image: &str) -> Result<Way, VmError> {
        let found = self.way.get_or_try_init(|| async {
            // Ids differ, so that what is ours here is nobody's there.
            if core.daemon.facts.is_remapped {
                return Ok(Way::Sent);
            }
            let tried = core
                .chores
                .finish(trial(Arc::clone(core), image.to_owned()))
                .await;
            match tried {
                Ok(()) => Ok(Way::Shared),
                Err(error) => {
                    tracing::debug!(%error, "the daemon does not see this machine's files");
                    Ok(Way::Sent)
                }
            }
        });
        found.await.copied()
    }

    async fn send(
        &self,
        core: &Arc<Core>,
        layers: &Arc<[PathBuf]>,
        image: &str,
    ) -> Result<Arc<Layer>, VmError> {
        let mut sent = self.sent.lock().await;
        if let Some(known) = sent.as_ref()
            && known.layers == *layers
        {
            return Ok(Arc::clone(&known.volume));
        }
        let sending = send(Arc::clone(core), Arc::clone(layers), image.to_owned());
        let volume = core.chores.finish(sending).await?;
        *sent = Some(Sent {
            layers: Arc::clone(layers),
            volume: Arc::clone(&volume),
        });
        Ok(volume)
    }
}

/// Fills a volume with a tree, through a container that is never started.
async fn send(
    core: Arc<Core>,
    layers: Arc<[PathBuf]>,
    image: String,
) -> Result<Arc<Layer>, VmError> {
    let (name, place) = plain(&core).await?;
    let volume = Arc::new(Layer::live(&core, Kind::Volume, name, place));
    let container = container::to_look_into(&core, &image, &volume.name, "").await?;
    let options = UploadToContainerOptionsBuilder::new().path(FOLDER).build();
    let done = core
        .daemon
        .patient
        .upload_to_container(
            container.name(),
            Some(options),
            bollard::body_try_stream(archive::stream(layers)),
        )
        .await;
    container.remove().await;
    done.map_err(core.daemon.failed("take the source tree"))?;
    Ok(volume)
}

/// Has the daemon mount a folder of ours, and show a file in it of a name that nobody else
/// can have thought of. The container is never started.
async fn trial(core: Arc<Core>, image: String) -> Result<(), VmError> {
    let core = &core;
    let mark = uuid::Uuid::new_v4().simple().to_string();
    let folder = core.instance.layers.join("trial");
    fs::create_dir_all(&folder).map_err(io_error("cannot make", &folder))?;
    let file = folder.join(&mark);
    fs::write(&file, "").map_err(io_error("cannot make", &file))?;
    let lowest = Lowest {
        places: vec![folder],
        is_user_flavour: is_user_flavour(core, Way::Shared),
        sent: None,
    };
    let workspace = Workspace::make(core, FOLDER, &[], &lowest).await?;
    let container = container::to_look_into(core, &image, workspace.volume(), "").await?;
    let options = ContainerArchiveInfoOptionsBuilder::new()
        .path(&format!("{FOLDER}/{mark}"))
        .build();
    let seen = core
        .daemon
        .docker
        .get_container_archive_info(container.name(), Some(options))
        .await;
    container.remove().await;
    workspace.remove().await;
    seen.map(drop)
        .map_err(core.daemon.failed("mount the frozen source"))
}

/// Layers that are mounted together are of one flavour: that of the frozen ones if these are
/// used, and else whatever the daemon can have.
fn is_user_flavour(core: &Core, way: Way) -> bool {
    core.daemon.facts.is_rootless
        || (way == Way::Shared && Flavour::of_this_process() == Flavour::User)
}

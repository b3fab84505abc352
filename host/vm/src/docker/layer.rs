//! Frozen parts of a machine's file system, and the snapshots that are made of them.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{RemoveImageOptionsBuilder, RemoveVolumeOptions};

use super::daemon::Daemon;
use super::engine::Core;
use super::failure::{is_absent, status};
use super::image::Image;
use super::labels::REPOSITORY;
use super::workspace::FOLDER;
use crate::backend::Snapshot;
use crate::error::VmError;

/// Tries to remove what the daemon says is still in use: it lets go a little later than it
/// answers.
const TRIES: u32 = 8;

/// What the daemon holds for a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A committed image.
    Image,
    /// The upper of a workspace.
    Volume,
}

/// What one machine has written: to its image, or to its workspace.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) kind: Kind,
    /// Of the tag, or of the volume.
    pub(super) name: String,
    /// Where the daemon has it, for a volume.
    pub(super) place: PathBuf,
    /// Where machines have it mounted, for a volume.
    pub(super) folder: String,
    /// Disk space, once that was counted.
    pub(super) bytes: OnceLock<u64>,
    is_kept: AtomicBool,
    core: Arc<Core>,
}

impl Layer {
    /// A layer that goes with its last handle.
    pub(super) fn live(core: &Arc<Core>, kind: Kind, name: String, place: PathBuf) -> Self {
        Self {
            kind,
            name,
            place,
            folder: FOLDER.to_owned(),
            bytes: OnceLock::new(),
            is_kept: AtomicBool::new(false),
            core: Arc::clone(core),
        }
    }

    /// A layer that the registry keeps.
    pub(super) fn kept(
        core: &Arc<Core>,
        kind: Kind,
        name: String,
        place: PathBuf,
        bytes: u64,
    ) -> Self {
        Self {
            kind,
            name,
            place,
            folder: FOLDER.to_owned(),
            bytes: OnceLock::from(bytes),
            is_kept: AtomicBool::new(true),
            core: Arc::clone(core),
        }
    }

    /// The same, mounted elsewhere than at the workspace.
    pub(super) fn at(self, folder: &str) -> Self {
        // Not by the rest of a value that has a `Drop` of its own.
        let mut layer = self;
        folder.clone_into(&mut layer.folder);
        layer
    }

    /// Returns the identity by which the registry knows it.
    pub(super) fn id(&self) -> String {
        let id = Self::id_of(self.kind, &self.name);
        if self.folder == FOLDER {
            return id;
        }
        format!("{id}-{}", hex::encode(&self.folder))
    }

    /// Returns the identity of a layer of that name, or how it begins where it is mounted
    /// elsewhere than at the workspace.
    pub(super) fn id_of(kind: Kind, name: &str) -> String {
        let kind = match kind {
            Kind::Image => "image",
            Kind::Volume => "volume",
        };
        format!("{kind}-{name}")
    }

    /// Reads an identity: what it is, its name, and where it is mounted.
    pub(super) fn parse(id: &str) -> Option<(Kind, &str, String)> {
        let (kind, rest) = id.split_once('-')?;
        let kind = match kind {
            "image" => Kind::Image,
            "volume" => Kind::Volume,
            _ => return None,
        };
        let is_word = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let own = rest.strip_prefix("hm-")?;
        let (own, folder) = match own.split_once('-') {
            None => (own, FOLDER.to_owned()),
            Some((own, folder)) => (own, String::from_utf8(hex::decode(folder).ok()?).ok()?),
        };
        let name = &rest[..own.len() + "hm-".len()];
        (is_word(own) && !own.is_empty()).then_some((kind, name, folder))
    }

    /// Returns the reference of a committed image.
    pub(super) fn reference(name: &str) -> String {
        format!("{REPOSITORY}:{name}")
    }

    /// Lets it outlive its handles and this process: a folder of its name stands for it
    /// among the kept layers, where the registry looks after it.
    pub(super) fn keep(&self) -> Result<(), VmError> {
        let folder = self.core.state.kept_layers().join(self.id());
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(crate::state::io_error("cannot make", &folder)(error));
            }
            _ => {}
        }
        self.is_kept.store(true, Ordering::Release);
        Ok(())
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        if !*self.is_kept.get_mut() {
            self.core
                .doomed
                .add(&self.core, self.kind, std::mem::take(&mut self.name));
        }
    }
}

/// Layers that are on their way out, one after the other: an image goes after those that are
/// made of it, and these are always dropped first.
#[derive(Debug, Default)]
pub(super) struct Doomed(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Kind, String)>,
    is_worked_on: bool,
}

impl Doomed {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, core: &Arc<Core>, kind: Kind, name: String) {
        let mut queue = self.queue();
        queue.waiting.push_back((kind, name));
        if !std::mem::replace(&mut queue.is_worked_on, true) {
            core.chores.begin(work(Arc::clone(core)));
        }
    }

    fn next(&self) -> Option<(Kind, String)> {
        let mut queue = self.queue();
        let next = queue.waiting.pop_front();
        queue.is_worked_on = next.is_some();
        next
    }
}

async fn work(core: Arc<Core>) {
    while let Some((kind, name)) = core.doomed.next() {
        if let Err(error) = remove(&core.daemon, kind, &name).await {
            tracing::debug!(name, %error, "cannot remove a layer");
        }
    }
}

/// Removes what the daemon holds for a layer. What is not there is fine.
pub(super) async fn remove(daemon: &Daemon, kind: Kind, name: &str) -> Result<(), VmError> {
    let mut pause = Duration::from_millis(5);
    for _ in 1..TRIES {
        match remove_once(daemon, kind, name).await {
            Err(error) if status(&error) == Some(409) => tokio::time::sleep(pause).await,
            Err(error) => return Err(daemon.failed(&format!("remove {name}"))(error)),
            Ok(()) => return Ok(()),
        }
        pause *= 2;
    }
    let removed = remove_once(daemon, kind, name).await;
    removed.map_err(daemon.failed(&format!("remove {name}")))
}

/// The same, without waiting for whoever uses it.
pub(super) async fn remove_once(daemon: &Daemon, kind: Kind, name: &str) -> Result<(), Error> {
    let removed = match kind {
        Kind::Volume => {
            let options = None::<RemoveVolumeOptions>;
            daemon.docker.remove_volume(name, options).await
        }
        // By its identity: by name, one that others are made of would only lose its name.
        Kind::Image => match daemon.docker.inspect_image(&Layer::reference(name)).await {
            Ok(image) => remove_image(daemon, &image.id.unwrap_or_default()).await,
            Err(error) => Err(error),
        },
    };
    match removed {
        Err(error) if is_absent(&error) => Ok(()),
        other => other,
    }
}

/// Removes an image that lost its name. Returns whether it went.
pub(super) async fn remove_untagged(daemon: &Daemon, id: &str) -> bool {
    remove_image(daemon, id).await.is_ok()
}

async fn remove_image(daemon: &Daemon, id: &str) -> Result<(), Error> {
    // Not what lies below it: that is somebody else's to remove.
    let options = RemoveImageOptionsBuilder::new().force(true).noprune(true);
    let removed = daemon.docker.remove_image(id, Some(options.build()), None);
    removed.await.map(drop)
}

/// What a machine is based on: an image, and what earlier steps wrote over it and over the
/// source. Topmost first.
#[derive(Debug, Clone)]
pub(super) struct Foundation {
    /// As its maker left it.
    pub(super) image: Arc<Image>,
    /// Commits over the image.
    pub(super) commits: Vec<Arc<Layer>>,
    /// Uppers of the workspace.
    pub(super) uppers: Vec<Arc<Layer>>,
    /// Those of the folders that the image declares as volumes.
    pub(super) volumes: BTreeMap<String, Vec<Arc<Layer>>>,
}

impl Foundation {
    /// A foundation of nothing but an image.
    pub(super) fn new(image: Arc<Image>) -> Self {
        Self {
            image,
            commits: Vec::new(),
            uppers: Vec::new(),
            volumes: BTreeMap::new(),
        }
    }

    /// Returns all that was written over the image.
    pub(super) fn layers(&self) -> impl Iterator<Item = &Arc<Layer>> {
        self.commits
            .iter()
            .chain(&self.uppers)
            .chain(self.volumes.values().flatten())
    }

    /// Returns what to make containers of.
    pub(super) fn reference(&self) -> String {
        match self.commits.first() {
            Some(commit) => Layer::reference(&commit.name),
            None => self.image.id.clone(),
        }
    }
}

/// A frozen file system.
#[derive(Debug)]
pub(super) struct DockerSnapshot {
    pub(super) id: String,
    pub(super) foundation: Foundation,
}

impl Snapshot for DockerSnapshot {
    fn id(&self) -> &str {
        &self.id
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_read_back_and_others_are_nobodys() {
        assert_eq!(
            Layer::parse("image-hm-0a1"),
            Some((Kind::Image, "hm-0a1", FOLDER.to_owned()))
        );
        let data = format!("volume-hm-0a1-{}", hex::encode("/var/lib/data"));
        assert_eq!(
            Layer::parse(&data),
            Some((Kind::Volume, "hm-0a1", "/var/lib/data".to_owned()))
        );
        for strange in [
            "",
            "image-",
            "image-x",
            "volume-hm-",
            "volume-hm-../x",
            "image-hm-a/b",
            "volume-hm-a-zz",
            "0123456789abcdef",
        ] {
            assert_eq!(Layer::parse(strange), None, "{strange}");
        }
    }
}

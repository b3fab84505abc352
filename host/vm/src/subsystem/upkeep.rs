//! What goes on beside the builds: removing leavings, keeping within bytes, reaching the
//! disk.

use std::collections::HashSet;
use std::fs::File;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::task::JoinHandle;

use super::{Subsystem, blocking};
use crate::error::VmError;
use crate::image;
use crate::registry::Removed;
use crate::source;
use crate::state::io_error;

/// Background work under way.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Upkeep {
    fn add(&self, task: JoinHandle<()>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    fn take(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Subsystem {
    /// Removes what dead processes left: the engine's things, layers that nobody needs,
    /// source trees of folders that are gone, trash. Returns how many things went.
    ///
    /// # Errors
    /// Those of the engine's [`reap`](crate::VmBackend::reap), [`VmError::Registry`].
    pub async fn reap(&self) -> Result<usize, VmError> {
        let reaped = self.engine().reap().await?;
        let removed = self.evict(self.inner.cache_bytes).await?;
        let images = self.remove_images().await?;
        let state = self.inner.state.clone();
        let cleared = blocking(move || {
            let stores = source::remove_stale(&state)?;
            Ok(stores + state.empty_trash())
        })
        .await?;
        Ok(reaped + removed.layers.len() + images + cleared)
    }

    /// Removes images without a name, except those on which kept snapshots are built.
    /// What living processes use stays until later. Returns how many things went.
    ///
    /// # Errors
    /// [`VmError::Registry`], and those of the engine's
    /// [`remove_images`](crate::VmBackend::remove_images).
    pub async fn remove_images(&self) -> Result<usize, VmError> {
        let keep = self.images_in_use().await?;
        self.engine().remove_images(&keep).await
    }

    /// Returns the identities of the images on which the engine's kept snapshots are built.
    ///
    /// # Errors
    /// [`VmError::Registry`].
    pub async fn images_in_use(&self) -> Result<HashSet<String>, VmError> {
        let engine = self.engine().name();
        self.on_registry(move |registry| registry.images(engine))
            .await
    }

    /// Takes the least recently used snapshots out of the cache until the engine's are
    /// within `bytes`. What living processes use stays.
    ///
    /// # Errors
    /// [`VmError::Registry`], and those of the engine's
    /// [`remove_layers`](crate::VmBackend::remove_layers).
    pub async fn cache_prune(&self, bytes: u64) -> Result<Removed, VmError> {
        let removed = self.evict(bytes).await?;
        self.empty_trash().await;
        Ok(removed)
    }

    /// Empties the engine's cache. What living processes use stays until they end, and
    /// the number of those snapshots is returned.
    ///
    /// # Errors
    /// As [`Subsystem::cache_prune`].
    pub async fn cache_clear(&self) -> Result<(Removed, u64), VmError> {
        let engine = self.engine().name();
        let (removed, used) = self
            .on_registry(move |registry| registry.clear(engine))
            .await?;
        self.remove(&removed).await?;
        self.empty_trash().await;
        Ok((removed, used))
    }

    /// Waits until everything in the background is done: the start's reaping, evictions,
    /// and what the engine removes.
    pub async fn settle(&self) {
        for task in self.inner.upkeep.take() {
            // A task that failed has told so itself.
            let _ = task.await;
        }
        self.engine().settle().await;
        self.empty_trash().await;
    }

    /// Brings what was stored and frozen to the disk, so that it is still trusted after a
    /// power loss. It can take a second after large writes, so it belongs after
    /// everything that a person waits for; the next run does it if this one did not.
    ///
    /// # Errors
    /// [`VmError::Io`] if the disk fails, [`VmError::Registry`].
    pub async fn sync(&self) -> Result<(), VmError> {
        let state = self.inner.state.clone();
        self.on_registry(move |registry| {
            let newest = registry.newest_unsynced()?;
            let stores = source::unsynced(&state);
            let images = image::unsynced(&state);
            if newest.is_none() && stores.is_empty() && images.is_empty() {
                return Ok(());
            }
            let root = state.root();
            let folder = File::open(root).map_err(io_error("cannot open", root))?;
            rustix::fs::syncfs(&folder).map_err(io_error("cannot write out", root))?;
            source::mark_synced(&stores);
            image::mark_synced(&images);
            if let Some(newest) = newest {
                registry.mark_synced(newest)?;
                registry.write_out()?;
            }
            Ok(())
        })
        .await
    }

    /// Begins to remove what dead processes left, and to write out what they stored.
    pub(super) fn start_upkeep(&self) {
        self.in_background(|subsystem| async move {
            if let Err(error) = subsystem.reap().await {
                tracing::warn!(%error, "cannot remove all that earlier runs left");
            }
            let shortened = subsystem.on_registry(|registry| registry.shorten_log());
            if let Err(error) = shortened.await {
                tracing::debug!(%error, "cannot shorten the registry's log");
            }
            if let Err(error) = subsystem.sync().await {
                tracing::debug!(%error, "cannot write out what earlier runs stored");
            }
        });
    }

    pub(super) fn start_eviction(&self) {
        self.in_background(|subsystem| async move {
            if let Err(error) = subsystem.evict(subsystem.inner.cache_bytes).await {
                tracing::warn!(%error, "cannot keep the cache within its size");
            }
            subsystem.empty_trash().await;
        });
    }

    fn in_background<F>(&self, work: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.inner.upkeep.add(runtime.spawn(work(self.clone())));
        }
    }

    async fn evict(&self, cap: u64) -> Result<Removed, VmError> {
        let engine = self.engine().name();
        let removed = self
            .on_registry(move |registry| registry.evict(engine, cap))
            .await?;
        self.remove(&removed).await?;
        Ok(removed)
    }

    /// Lets the engine remove the layers that were taken out.
    async fn remove(&self, removed: &Removed) -> Result<(), VmError> {
        let engine = self.engine().name();
        if !removed.layers.is_empty() {
            self.engine().remove_layers(&removed.layers).await?;
            let layers = removed.layers.clone();
            self.on_registry(move |registry| registry.removed(engine, &layers))
                .await?;
        }
        Ok(())
    }

    async fn empty_trash(&self) {
        let state = self.inner.state.clone();
        let _ = blocking(move || Ok(state.empty_trash())).await;
    }
}

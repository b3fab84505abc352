//! Kept snapshots from one machine to another.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Subsystem;
use crate::bundle::{self, Restored, Saved, Target, bind, unbind};
use crate::error::VmError;
use crate::image::{Flavour, stage_archive};

/// Where a cache is saved to.
pub enum SaveTo {
    /// A folder of its own.
    Folder(PathBuf),
    /// A tar, written to its end.
    Archive(Box<dyn Write + Send>),
}

/// Where a cache is restored from.
pub enum RestoreFrom {
    /// A folder.
    Folder(PathBuf),
    /// A tar, read to its end.
    Archive(File),
}

impl Subsystem {
    /// Saves what is stored under keys of a repository, as far as it is stored. The keys must
    /// be that repository's: nothing in them tells.
    ///
    /// # Errors
    /// [`VmError::Unavailable`] where the engine's snapshots cannot be carried, or there is
    /// no room for them; [`VmError::Registry`].
    pub async fn cache_save(
        &self,
        keys: &[String],
        repository: &str,
        to: SaveTo,
    ) -> Result<Saved, VmError> {
        self.check_portable()?;
        let (engine, keys, repository) =
            (self.engine().name(), keys.to_vec(), repository.to_owned());
        let state = self.state().clone();
        // A lookup leases what it finds, so nothing goes away meanwhile.
        self.on_registry(move |registry| {
            let mut snapshots = Vec::new();
            for key in &keys {
                let Some(own) = unbind(key, &repository) else {
                    continue;
                };
                let found = registry.lookup(key, engine)?.into_iter().find(|found| {
                    let mut layers = found.record.layers.iter();
                    layers.all(|layer| state.kept_layers().join(&layer.id).is_dir())
                });
                if let Some(found) = found {
                    snapshots.push((own, found.record));
                }
            }
            match to {
                SaveTo::Folder(folder) => bundle::save(&state, &snapshots, Target::Folder(&folder)),
                SaveTo::Archive(mut to) => {
                    bundle::save(&state, &snapshots, Target::Archive(&mut to))
                }
            }
        })
        .await
    }

    /// Restores what was saved, for a repository. What is stored already stays as it is.
    ///
    /// # Errors
    /// [`VmError::Unavailable`] if it was changed, does not belong to this engine or user,
    /// or there is no room for it; nothing of it is kept then. [`VmError::Registry`].
    pub async fn cache_restore(
        &self,
        from: RestoreFrom,
        repository: &str,
    ) -> Result<Restored, VmError> {
        self.check_portable()?;
        let Some(flavour) = self.engine().flavour().await? else {
            return Err(self.not_portable());
        };
        let (_staged, folder) = match from {
            RestoreFrom::Folder(folder) => (None, folder),
            RestoreFrom::Archive(archive) => {
                let (staged, folder) = stage_archive(self.state(), archive).await?;
                (Some(staged), folder)
            }
        };
        let done = self.restore_folder(&folder, repository, flavour).await;
        if self.cache_bytes().await? > self.cache_limit() {
            self.start_eviction();
        }
        done
    }

    async fn restore_folder(
        &self,
        folder: &Path,
        repository: &str,
        flavour: Flavour,
    ) -> Result<Restored, VmError> {
        let engine = self.engine().name();
        let (state, folder) = (self.state().clone(), folder.to_owned());
        let repository = repository.to_owned();
        self.on_registry(move |registry| {
            let is_new = |key| {
                let found = registry.lookup(&bind(key, &repository), engine)?;
                Ok(!found
                    .iter()
                    .any(|found| found.record.flavour == flavour.name()))
            };
            let (unpacked, restored) = bundle::restore(&state, &folder, flavour, is_new)?;
            for (key, record) in &unpacked {
                registry.store(&bind(*key, &repository), engine, record)?;
            }
            Ok(restored)
        })
        .await
    }

    fn check_portable(&self) -> Result<(), VmError> {
        if self.engine().name() == bundle::ENGINE {
            return Ok(());
        }
        Err(self.not_portable())
    }

    fn not_portable(&self) -> VmError {
        let engine = self.engine().name();
        VmError::Unavailable {
            cause: format!(
                "snapshots of the {engine} engine are images of its own, and cannot be saved or \
                 restored by hm"
            ),
            remedy: "use `--engine sandbox`; or carry them with the engine's own commands, as \
                     `docker save` and `docker load`"
                .to_owned(),
        }
    }
}

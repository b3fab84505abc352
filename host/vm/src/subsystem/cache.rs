//! Snapshots by key, through the engine that knows their files.

use std::fmt;
use std::sync::Arc;

use super::Subsystem;
use crate::backend::Snapshot;
use crate::error::VmError;
use crate::registry::{BuildGuard, CacheEntry, Claimed, Found, Waiting};

/// What there is to do about a key.
pub enum CacheClaim {
    /// It is stored.
    Hit(Arc<dyn Snapshot>),
    /// Nobody builds it: the caller does now. Store the result, then drop the guard;
    /// dropping it without storing lets the next one try.
    Build(BuildGuard),
    /// Another step or process builds it: wait, then claim again.
    Wait(Waiting),
}

impl fmt::Debug for CacheClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hit(snapshot) => f.debug_tuple("Hit").field(&snapshot.id()).finish(),
            Self::Build(_) => f.write_str("Build"),
            Self::Wait(_) => f.write_str("Wait"),
        }
    }
}

impl Subsystem {
    /// Returns what is stored under a key, if its files are there and usable. It is
    /// pinned until this subsystem's last handle goes.
    ///
    /// # Errors
    /// [`VmError::Registry`], and those of the engine's
    /// [`open`](crate::VmBackend::open).
    pub async fn cache_lookup(&self, key: &str) -> Result<Option<Arc<dyn Snapshot>>, VmError> {
        let (key, engine) = (key.to_owned(), self.engine().name());
        let found = self
            .on_registry(move |registry| registry.lookup(&key, engine))
            .await?;
        self.reopen(found).await
    }

    /// As [`Subsystem::cache_lookup`], and if nothing is stored takes the key for
    /// building, so that no other process does the same work at the same time.
    ///
    /// # Errors
    /// As [`Subsystem::cache_lookup`].
    pub async fn cache_claim(&self, key: &str) -> Result<CacheClaim, VmError> {
        loop {
            let (wanted, engine) = (key.to_owned(), self.engine().name());
            let claimed = self
                .on_registry(move |registry| registry.claim_rows(&wanted, engine))
                .await?;
            match claimed {
                Claimed::Build(guard) => return Ok(CacheClaim::Build(guard)),
                Claimed::Wait(waiting) => return Ok(CacheClaim::Wait(waiting)),
                Claimed::Hit(found) => {
                    if let Some(snapshot) = self.reopen(found).await? {
                        return Ok(CacheClaim::Hit(snapshot));
                    }
                    // Each round gives up a row for good, so this ends.
                }
            }
        }
    }

    /// Keeps a snapshot under a key for later runs. What was stored there before is given
    /// up.
    ///
    /// # Errors
    /// [`VmError::Registry`], and those of the engine's
    /// [`keep`](crate::VmBackend::keep).
    pub async fn cache_store(
        &self,
        key: &str,
        snapshot: &Arc<dyn Snapshot>,
    ) -> Result<(), VmError> {
        let record = self.engine().keep(snapshot).await?;
        let (key, engine) = (key.to_owned(), self.engine().name());
        let bytes = self
            .on_registry(move |registry| {
                registry.store(&key, engine, &record)?;
                registry.bytes(engine)
            })
            .await?;
        if bytes > self.inner.cache_bytes {
            self.start_eviction();
        }
        Ok(())
    }

    /// Gives up what is stored under a key. Whoever uses it can go on.
    ///
    /// # Errors
    /// [`VmError::Registry`].
    pub async fn forget(&self, key: &str) -> Result<(), VmError> {
        let (key, engine) = (key.to_owned(), self.engine().name());
        self.on_registry(move |registry| registry.forget(&key, engine))
            .await
    }

    /// Returns all that is kept, by any engine, the most recently used first.
    ///
    /// # Errors
    /// [`VmError::Registry`].
    pub async fn cache_list(&self) -> Result<Vec<CacheEntry>, VmError> {
        self.on_registry(|registry| registry.list()).await
    }

    /// Returns the disk space of what the engine keeps, in bytes, shared layers once.
    ///
    /// # Errors
    /// [`VmError::Registry`].
    pub async fn cache_bytes(&self) -> Result<u64, VmError> {
        let engine = self.engine().name();
        self.on_registry(move |registry| registry.bytes(engine))
            .await
    }

    /// Returns what the engine's kept snapshots may take, in bytes.
    pub fn cache_limit(&self) -> u64 {
        self.inner.cache_bytes
    }

    /// Opens the first of the rows found that is usable, and gives up those before it.
    async fn reopen(&self, found: Vec<Found>) -> Result<Option<Arc<dyn Snapshot>>, VmError> {
        for Found { row, record } in found {
            if let Some(snapshot) = self.engine().open(&record).await? {
                return Ok(Some(snapshot));
            }
            tracing::debug!(snapshot = record.id, "files are gone");
            self.on_registry(move |registry| registry.give_up(row))
                .await?;
        }
        Ok(None)
    }
}

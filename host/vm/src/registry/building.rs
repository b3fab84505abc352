//! One process builds a key, the others wait for it.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::database::Registry;
use super::snapshots::{Found, find};
use crate::error::VmError;

/// The first and the longest pause between two looks at a key that another builds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// What there is to do about a key.
#[derive(Debug)]
pub enum Claim {
    /// It is stored; what was found is leased.
    Hit(Vec<crate::SnapshotRecord>),
    /// Nobody builds it: the caller does now, until it drops the guard.
    Build(BuildGuard),
    /// Another step or process builds it.
    Wait(Waiting),
}

/// The right to build a key. Store the result first, then drop this.
#[derive(Debug)]
pub struct BuildGuard {
    registry: Arc<Registry>,
    key: String,
    engine: String,
}

/// A key that somebody else builds.
#[derive(Debug)]
pub struct Waiting {
    registry: Arc<Registry>,
    key: String,
    engine: String,
}

/// As [`Claim`], with the rows that were found.
pub(crate) enum Claimed {
    Hit(Vec<Found>),
    Build(BuildGuard),
    Wait(Waiting),
}

impl Registry {
    /// Looks a key up and, if nothing is stored, takes it for building unless a living
    /// process has it.
    ///
    /// # Errors
    /// [`VmError::Registry`].
    pub fn claim(self: &Arc<Self>, key: &str, engine: &str) -> Result<Claim, VmError> {
        Ok(match self.claim_rows(key, engine)? {
            Claimed::Hit(found) => Claim::Hit(found.into_iter().map(|hit| hit.record).collect()),
            Claimed::Build(guard) => Claim::Build(guard),
            Claimed::Wait(waiting) => Claim::Wait(waiting),
        })
    }

    pub(crate) fn claim_rows(
        self: &Arc<Self>,
        key: &str,
        engine: &str,
    ) -> Result<Claimed, VmError> {
        let (found, taken) = self.transact(|tx, owner| {
            let found = find(tx, owner, key, engine)?;
            if !found.is_empty() {
                return Ok((found, false));
            }
            let builder = self.builder(tx, key, engine)?;
            let free = builder.is_none();
            if free {
                tx.execute(
                    "INSERT OR REPLACE INTO building(key, engine, owner) VALUES(?1, ?2, ?3)",
                    params![key, engine, owner],
                )?;
            }
            Ok((found, free))
        })?;
        if !found.is_empty() {
            return Ok(Claimed::Hit(found));
        }
        let (registry, key, engine) = (Arc::clone(self), key.to_owned(), engine.to_owned());
        Ok(if taken {
            Claimed::Build(BuildGuard {
                registry,
                key,
                engine,
            })
        } else {
            Claimed::Wait(Waiting {
                registry,
                key,
                engine,
            })
        })
    }

    /// Returns the living owner that builds a key.
    fn builder(
        &self,
        tx: &rusqlite::Transaction<'_>,
        key: &str,
        engine: &str,
    ) -> rusqlite::Result<Option<i64>> {
        let row: Option<(i64, String)> = tx
            .query_row(
                "SELECT owner.id, owner.lockfile FROM building JOIN owner ON owner.id = building.owner
                 WHERE building.key = ?1 AND building.engine = ?2",
                [key, engine],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        Ok(row
            .filter(|(_, lockfile)| self.is_alive(lockfile))
            .map(|(id, _)| id))
    }
}

impl Drop for BuildGuard {
    fn drop(&mut self) {
        // If it fails, the key is free when this process ends.
        let _ = self.registry.transact(|tx, owner| {
            tx.execute(
                "DELETE FROM building WHERE key = ?1 AND engine = ?2 AND owner = ?3",
                params![self.key, self.engine, owner],
            )
        });
    }
}

impl Waiting {
    /// Waits until the key is stored or its builder has given up or died; then claim it
    /// again.
    ///
    /// # Errors
    /// [`VmError::Registry`].
    pub async fn wait(self) -> Result<(), VmError> {
        let this = Arc::new(self);
        let mut pause = PAUSES.0;
        loop {
            tokio::time::sleep(pause).await;
            let look = Arc::clone(&this);
            let free = tokio::task::spawn_blocking(move || {
                look.registry.transact(|tx, _| {
                    Ok(look
                        .registry
                        .builder(tx, &look.key, &look.engine)?
                        .is_none())
                })
            })
            .await
            .map_err(|error| VmError::Other(format!("waiting for a key was cut short: {error}")))?;
            if free? {
                return Ok(());
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

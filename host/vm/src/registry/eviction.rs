//! Keeping the kept snapshots within their bytes.

use rusqlite::{OptionalExtension, Transaction, params};

use super::database::Registry;
use super::snapshots::unsigned;
use crate::error::VmError;

/// What an eviction took out of the registry. The engine has yet to remove the layers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Snapshots that lookups find no more.
    pub snapshots: u64,
    /// Bytes that the removed layers took.
    pub bytes: u64,
    /// Layers that nothing names any more, those of earlier evictions included that were
    /// not removed then.
    pub layers: Vec<String>,
}

impl Registry {
    /// Takes out what was given up, then what was used least recently until an engine's
    /// layers are within `cap` bytes. Never what a living process has leased.
    ///
    /// Call [`Registry::removed`] when the engine has removed the layers; until then they
    /// are told again each time.
    ///
    /// # Errors
    /// [`VmError::Registry`].
    pub fn evict(&self, engine: &str, cap: u64) -> Result<Removed, VmError> {
        self.transact(|tx, own| {
            self.remove_dead_owners(tx, own)?;
            shrink(tx, engine, cap)
        })
    }

    /// Notes that an engine has removed layers.
    ///
    /// # Errors
    /// [`VmError::Registry`].
    pub fn removed(&self, engine: &str, layers: &[String]) -> Result<(), VmError> {
        self.transact(|tx, _| {
            let mut statement =
                tx.prepare_cached("DELETE FROM doomed WHERE engine = ?1 AND layer = ?2")?;
            for layer in layers {
                statement.execute(params![engine, layer])?;
            }
            Ok(())
        })
    }

    /// Gives up and takes out everything that an engine has kept. What a living process
    /// uses stays until that ends, and is counted beside what went.
    ///
    /// # Errors
    /// [`VmError::Registry`].
    pub fn clear(&self, engine: &str) -> Result<(Removed, u64), VmError> {
        self.transact(|tx, own| {
            self.remove_dead_owners(tx, own)?;
            tx.execute(
                "UPDATE snapshot SET state = 'spare' WHERE engine = ?1",
                [engine],
            )?;
            let used = tx.query_row(
                "SELECT count(DISTINCT lease.snapshot) FROM lease
                   JOIN snapshot ON snapshot.seq = lease.snapshot WHERE snapshot.engine = ?1",
                [engine],
                |row| row.get(0).map(unsigned),
            )?;
            // At once, so that nobody else's eviction takes it out uncounted.
            Ok((shrink(tx, engine, u64::MAX)?, used))
        })
    }

    /// Returns the disk space of an engine's layers in bytes, shared ones counted once.
    ///
    /// # Errors
    /// [`VmError::Registry`].
    pub fn bytes(&self, engine: &str) -> Result<u64, VmError> {
        self.transact(|tx, _| total(tx, engine))
    }
}

/// Takes out what was given up, then what was used least recently while there is more
/// than `cap` bytes.
fn shrink(tx: &Transaction<'_>, engine: &str, cap: u64) -> rusqlite::Result<Removed> {
    let before = total(tx, engine)?;
    let mut snapshots = tx.execute(
        "DELETE FROM snapshot WHERE engine = ?1 AND state = 'spare'
           AND NOT EXISTS(SELECT 1 FROM lease WHERE lease.snapshot = seq)",
        [engine],
    )?;
    doom(tx, engine)?;
    while total(tx, engine)? > cap {
        let Some(row) = least_recent(tx, engine)? else {
            break;
        };
        snapshots += tx.execute("DELETE FROM snapshot WHERE seq = ?1", [row])?;
        doom(tx, engine)?;
    }
    let layers = tx
        .prepare_cached("SELECT layer FROM doomed WHERE engine = ?1")?
        .query_map([engine], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Removed {
        snapshots: snapshots as u64,
        bytes: before - total(tx, engine)?,
        layers,
    })
}

fn total(tx: &Transaction<'_>, engine: &str) -> rusqlite::Result<u64> {
    tx.prepare_cached("SELECT coalesce(sum(bytes), 0) FROM layer WHERE engine = ?1")?
        .query_row([engine], |row| row.get(0).map(unsigned))
}

fn least_recent(tx: &Transaction<'_>, engine: &str) -> rusqlite::Result<Option<i64>> {
    tx.prepare_cached(
        "SELECT seq FROM snapshot WHERE engine = ?1 AND state = 'ready'
           AND NOT EXISTS(SELECT 1 FROM lease WHERE lease.snapshot = seq)
         ORDER BY last_used, seq LIMIT 1",
    )?
    .query_row([engine], |row| row.get(0))
    .optional()
}

/// Moves layers that no snapshot names any more to those that are to be removed.
///
/// No process can be using one: it would lease a snapshot that names it, as a lookup
/// leases in the transaction that reads, and a layer's name is never used again.
fn doom(tx: &Transaction<'_>, engine: &str) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO doomed(engine, layer) SELECT engine, id FROM layer
         WHERE engine = ?1 AND NOT EXISTS(SELECT 1 FROM snapshot_layer
           WHERE snapshot_layer.engine = layer.engine AND snapshot_layer.layer = layer.id)",
    )?
    .execute([engine])?;
    tx.prepare_cached(
        "DELETE FROM layer WHERE engine = ?1 AND EXISTS(SELECT 1 FROM doomed
           WHERE doomed.engine = layer.engine AND doomed.layer = layer.id)",
    )?
    .execute([engine])?;
    Ok(())
}

//! Kept snapshots: found by key, stored, given up, listed.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::database::{Registry, now};
use crate::backend::{LayerRecord, SnapshotRecord};
use crate::error::VmError;

/// A kept snapshot, as `hm cache list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEntry {
    /// The snapshot's identity.
    pub id: String,
    /// The key that finds it.
    pub key: String,
    /// The engine that made it.
    pub engine: String,
    /// Disk space of all its layers in bytes; shared ones count for each snapshot.
    pub bytes: u64,
    /// Number of layers.
    pub layers: u64,
    /// When it was stored, in Unix milliseconds.
    pub created: i64,
    /// When it was last found or stored, in Unix milliseconds.
    pub last_used: i64,
    /// Whether a process holds it, as far as is known.
    pub in_use: bool,
}

/// A row that was found, and is leased from now on.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) row: i64,
    pub(crate) record: SnapshotRecord,
}

impl Registry {
    /// Finds what is stored under a key for an engine, newest first, one a flavour, and
    /// leases it in the same transaction.
    pub(crate) fn lookup(&self, key: &str, engine: &str) -> Result<Vec<Found>, VmError> {
        self.transact(|tx, owner| find(tx, owner, key, engine))
    }

    /// Stores a kept snapshot under a key, leased; what was stored there before is given
    /// up.
    ///
    /// # Errors
    /// [`VmError::Registry`].
    pub fn store(&self, key: &str, engine: &str, record: &SnapshotRecord) -> Result<(), VmError> {
        self.transact(|tx, owner| {
            tx.execute(
                "UPDATE snapshot SET state = 'spare'
                 WHERE key = ?1 AND engine = ?2 AND flavour = ?3 AND state = 'ready'",
                params![key, engine, record.flavour],
            )?;
            tx.execute(
                "INSERT INTO snapshot(id, key, engine, flavour, image, state, synced, boot_id, created, last_used)
                 VALUES(?1, ?2, ?3, ?4, ?5, 'ready', 0, ?6, ?7, ?7)",
                params![record.id, key, engine, record.flavour, record.image, self.boot_id(), now()],
            )?;
            let row = tx.last_insert_rowid();
            for (position, layer) in record.layers.iter().enumerate() {
                tx.prepare_cached(
                    "INSERT INTO layer(engine, id, bytes) VALUES(?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET bytes = excluded.bytes",
                )?
                .execute(params![engine, layer.id, signed(layer.bytes)])?;
                tx.prepare_cached(
                    "INSERT INTO snapshot_layer(snapshot, position, engine, layer) VALUES(?1, ?2, ?3, ?4)",
                )?
                .execute(params![row, signed(position as u64), engine, layer.id])?;
            }
            lease(tx, row, owner)
        })
    }

    /// Gives up what is stored under a key. It is removed once no process uses it.
    ///
    /// # Errors
    /// [`VmError::Registry`].
    pub fn forget(&self, key: &str, engine: &str) -> Result<(), VmError> {
        self.transact(|tx, _| {
            tx.execute(
                "UPDATE snapshot SET state = 'spare' WHERE key = ?1 AND engine = ?2",
                params![key, engine],
            )
        })?;
        Ok(())
    }

    /// Gives up a row whose files are gone, and this process's lease on it.
    pub(crate) fn give_up(&self, row: i64) -> Result<(), VmError> {
        self.transact(|tx, owner| {
            tx.execute(
                "DELETE FROM lease WHERE snapshot = ?1 AND owner = ?2",
                [row, owner],
            )?;
            tx.execute("UPDATE snapshot SET state = 'spare' WHERE seq = ?1", [row])
        })?;
        Ok(())
    }

    /// Returns all that lookups can find, the most recently used first.
    ///
    /// # Errors
    /// [`VmError::Registry`].
    pub fn list(&self) -> Result<Vec<CacheEntry>, VmError> {
        self.transact(|tx, own| {
            self.remove_dead_owners(tx, own)?;
            tx.prepare_cached(
                "SELECT id, key, engine, created, last_used,
                   (SELECT coalesce(sum(layer.bytes), 0) FROM snapshot_layer
                      JOIN layer ON layer.engine = snapshot_layer.engine AND layer.id = snapshot_layer.layer
                      WHERE snapshot_layer.snapshot = seq),
                   (SELECT count(*) FROM snapshot_layer WHERE snapshot_layer.snapshot = seq),
                   EXISTS(SELECT 1 FROM lease WHERE lease.snapshot = seq)
                 FROM snapshot WHERE state = 'ready' ORDER BY last_used DESC, seq DESC",
            )?
            .query_map([], entry)?
            .collect()
        })
    }

    /// Returns the images on which an engine's snapshots are built.
    pub(crate) fn images(&self, engine: &str) -> Result<HashSet<String>, VmError> {
        self.transact(|tx, _| {
            tx.prepare_cached(
                "SELECT DISTINCT image FROM snapshot WHERE engine = ?1 AND image IS NOT NULL",
            )?
            .query_map([engine], |row| row.get(0))?
            .collect()
        })
    }

    /// Returns the newest row that is not known to be on the disk, for
    /// [`Registry::mark_synced`].
    pub(crate) fn newest_unsynced(&self) -> Result<Option<i64>, VmError> {
        self.transact(|tx, _| {
            tx.query_row(
                "SELECT max(seq) FROM snapshot WHERE synced = 0",
                [],
                |row| row.get(0),
            )
            .optional()
            .map(Option::flatten)
        })
    }

    /// Notes that everything up to a row has reached the disk, so that it is trusted
    /// after a power loss too.
    pub(crate) fn mark_synced(&self, newest: i64) -> Result<(), VmError> {
        self.transact(|tx, _| {
            tx.execute(
                "UPDATE snapshot SET synced = 1 WHERE seq <= ?1 AND boot_id = ?2",
                params![newest, self.boot_id()],
            )
        })?;
        Ok(())
    }
}

pub(super) fn find(
    tx: &Transaction<'_>,
    owner: i64,
    key: &str,
    engine: &str,
) -> rusqlite::Result<Vec<Found>> {
    let rows: Vec<(i64, String, String, Option<String>)> = tx
        .prepare_cached(
            "SELECT seq, id, flavour, image FROM snapshot
             WHERE key = ?1 AND engine = ?2 AND state = 'ready' ORDER BY seq DESC",
        )?
        .query_map([key, engine], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut found = Vec::with_capacity(rows.len());
    for (row, id, flavour, image) in rows {
        lease(tx, row, owner)?;
        tx.prepare_cached("UPDATE snapshot SET last_used = max(last_used, ?1) WHERE seq = ?2")?
            .execute([now(), row])?;
        let layers = tx
            .prepare_cached(
                "SELECT layer.id, layer.bytes FROM snapshot_layer
                   JOIN layer ON layer.engine = snapshot_layer.engine AND layer.id = snapshot_layer.layer
                 WHERE snapshot_layer.snapshot = ?1 ORDER BY position",
            )?
            .query_map([row], |row| {
                Ok(LayerRecord { id: row.get(0)?, bytes: unsigned(row.get(1)?) })
            })?
            .collect::<rusqlite::Result<_>>()?;
        found.push(Found {
            row,
            record: SnapshotRecord {
                id,
                flavour,
                image,
                layers,
            },
        });
    }
    Ok(found)
}

fn lease(tx: &Transaction<'_>, row: i64, owner: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR IGNORE INTO lease(snapshot, owner) VALUES(?1, ?2)")?
        .execute([row, owner])?;
    Ok(())
}

fn entry(row: &Row<'_>) -> rusqlite::Result<CacheEntry> {
    Ok(CacheEntry {
        id: row.get(0)?,
        key: row.get(1)?,
        engine: row.get(2)?,
        created: row.get(3)?,
        last_used: row.get(4)?,
        bytes: unsigned(row.get(5)?),
        layers: unsigned(row.get(6)?),
        in_use: row.get(7)?,
    })
}

/// SQLite's integers are signed; sizes past eight exbibytes do not occur.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

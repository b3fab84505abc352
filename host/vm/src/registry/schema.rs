//! The database's shape, as the steps that lead to it.

use rusqlite::Connection;

/// Migrations in order; the database's `user_version` counts those that were applied.
/// Never edit one that was released: append.
const MIGRATIONS: &[&str] = &[FIRST, SECOND];

/// Times are Unix milliseconds; sizes are bytes of disk space.
///
/// A snapshot is `ready` (found by its key) or `spare` (replaced or given up, and removed
/// once nobody uses it). `doomed` are layers that no row names any more, until their
/// engine has removed them.
const FIRST: &str = "
CREATE TABLE repository(
  root BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INT NOT NULL) STRICT;
CREATE TABLE owner(
  id INTEGER PRIMARY KEY, lockfile TEXT NOT NULL UNIQUE, created INT NOT NULL) STRICT;
CREATE TABLE snapshot(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, key TEXT NOT NULL,
  engine TEXT NOT NULL, flavour TEXT NOT NULL,
  state TEXT NOT NULL CHECK(state IN ('ready', 'spare')),
  synced INT NOT NULL, boot_id TEXT NOT NULL,
  created INT NOT NULL, last_used INT NOT NULL) STRICT;
CREATE UNIQUE INDEX one_ready ON snapshot(key, engine, flavour) WHERE state = 'ready';
CREATE INDEX least_recent ON snapshot(engine, state, last_used);
CREATE TABLE layer(
  engine TEXT NOT NULL, id TEXT NOT NULL, bytes INT NOT NULL,
  PRIMARY KEY(engine, id)) STRICT, WITHOUT ROWID;
CREATE TABLE snapshot_layer(
  snapshot INT NOT NULL REFERENCES snapshot(seq) ON DELETE CASCADE,
  position INT NOT NULL, engine TEXT NOT NULL, layer TEXT NOT NULL,
  PRIMARY KEY(snapshot, position)) STRICT, WITHOUT ROWID;
CREATE INDEX used_by ON snapshot_layer(engine, layer);
CREATE TABLE doomed(
  engine TEXT NOT NULL, layer TEXT NOT NULL,
  PRIMARY KEY(engine, layer)) STRICT, WITHOUT ROWID;
CREATE TABLE lease(
  snapshot INT NOT NULL REFERENCES snapshot(seq) ON DELETE CASCADE,
  owner INT NOT NULL REFERENCES owner(id) ON DELETE CASCADE,
  PRIMARY KEY(snapshot, owner)) STRICT, WITHOUT ROWID;
CREATE INDEX lease_owner ON lease(owner);
CREATE TABLE building(
  key TEXT NOT NULL, engine TEXT NOT NULL,
  owner INT NOT NULL REFERENCES owner(id) ON DELETE CASCADE,
  PRIMARY KEY(key, engine)) STRICT, WITHOUT ROWID;
CREATE INDEX building_owner ON building(owner);
";

/// The image below a snapshot's layers.
const SECOND: &str = "ALTER TABLE snapshot ADD COLUMN image TEXT;";

/// Brings the database to the newest shape. The version found is returned if it is newer
/// than this program knows; nothing is changed then.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<Option<i64>> {
    apply(connection, MIGRATIONS)
}

fn apply(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<Option<i64>> {
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let Some(missing) = usize::try_from(found)
        .ok()
        .and_then(|found| migrations.get(found..))
    else {
        return Ok(Some(found));
    };
    let mut version = found;
    for migration in missing {
        tx.execute_batch(migration)?;
        version += 1;
    }
    tx.pragma_update(None, "user_version", version)?;
    tx.commit()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_migration_keeps_what_was_there() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert_eq!(migrate(&mut connection).unwrap(), None);
        connection
            .execute("INSERT INTO repository VALUES(x'2f', 'an-id', 1)", [])
            .unwrap();
        let next = "ALTER TABLE repository ADD COLUMN note TEXT;";
        assert_eq!(
            apply(&mut connection, &[FIRST, SECOND, next]).unwrap(),
            None
        );
        let id: String = connection
            .query_row("SELECT id FROM repository WHERE note IS NULL", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(id, "an-id");
        // And the older program leaves it alone.
        assert_eq!(migrate(&mut connection).unwrap(), Some(3));
    }
}

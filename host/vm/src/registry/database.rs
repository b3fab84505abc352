//! Opening the database, and starting over when it is broken.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};
use rustix::fs::{FlockOperation, flock};

use super::owner::{self, OwnerLock};
use super::schema;
use crate::error::VmError;
use crate::state::{StateDir, io_error};

/// How long a write waits behind those of other processes. The longest wait seen with two
/// writers was 58 ms.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A log of this many bytes is moved into the database, once a run: every opening reads and
/// checks all of it.
const LONG_LOG: u64 = 1 << 20;

/// Pages after which a run moves the log itself, while somebody waits for it: 64 MiB.
const LONGEST_LOG: u32 = 16_384;

/// The database of kept snapshots, opened by one owner. See the [module](super).
#[derive(Debug)]
pub struct Registry {
    state: StateDir,
    boot_id: String,
    database: Mutex<Database>,
    owner: OwnerLock,
    warnings: Mutex<Vec<String>>,
}

/// An open database and this process's row in it.
#[derive(Debug)]
struct Database {
    connection: Connection,
    owner: i64,
}

impl Registry {
    /// Opens the database, makes or migrates it, and clears away what dead processes left
    /// in it. A broken one is set aside, which [`Registry::take_warnings`] tells.
    ///
    /// # Errors
    /// [`VmError::Unavailable`] if a newer program has made it; [`VmError::Registry`] if
    /// it cannot be opened for another reason than being broken.
    pub fn open(state: &StateDir) -> Result<Self, VmError> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .unwrap_or_default();
        let _opening = lock_opening(state)?;
        let owner = OwnerLock::acquire(&state.owners())?;
        let mut warnings = Vec::new();
        let connection = match connect(&state.registry()) {
            Err(Trouble::Broken(reason)) => {
                warnings.push(set_aside(state, &reason)?);
                connect(&state.registry()).map_err(|trouble| trouble.into_error(state))?
            }
            other => other.map_err(|trouble| trouble.into_error(state))?,
        };
        let registry = Self {
            state: state.clone(),
            boot_id,
            database: Mutex::new(Database {
                connection,
                owner: 0,
            }),
            owner,
            warnings: Mutex::new(warnings),
        };
        registry.enter()?;
        Ok(registry)
    }

    /// Takes what the user should be told of, as whole sentences.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.warnings))
    }

    /// Returns the identity of the repository in a folder: random, the same for the same
    /// real path ever after. It follows no remote.
    ///
    /// # Errors
    /// [`VmError::Io`] if there is no such folder.
    pub fn repository_id(&self, root: &Path) -> Result<String, VmError> {
        let root = root
            .canonicalize()
            .map_err(io_error("cannot find the repository", root))?;
        self.transact(|tx, _| {
            tx.execute(
                "INSERT OR IGNORE INTO repository(root, id, created) VALUES(?1, ?2, ?3)",
                params![
                    root.as_os_str().as_bytes(),
                    uuid::Uuid::new_v4().to_string(),
                    now()
                ],
            )?;
            tx.query_row(
                "SELECT id FROM repository WHERE root = ?1",
                [root.as_os_str().as_bytes()],
                |row| row.get(0),
            )
        })
    }

    /// Waits until what was written so far is on the disk. It lies in the database's log:
    /// moving it from there would make the next process's first write wait for the disk.
    ///
    /// # Errors
    /// [`VmError::Io`] if the disk fails.
    pub(crate) fn write_out(&self) -> Result<(), VmError> {
        let path = with_suffix(&self.state.registry(), "-wal");
        match File::open(&path).and_then(|log| log.sync_data()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(io_error("cannot write out", &path)),
        }
    }

    /// Moves a long log into the database. Waits for the disk, and nobody meanwhile waits
    /// for this: it has a connection of its own and gives way.
    ///
    /// # Errors
    /// [`VmError::Registry`] if the disk fails.
    pub(crate) fn shorten_log(&self) -> Result<(), VmError> {
        let path = self.state.registry();
        let log = fs::metadata(with_suffix(&path, "-wal"));
        if log.map_or(0, |log| log.len()) < LONG_LOG {
            return Ok(());
        }
        let moved = Connection::open(&path).and_then(|connection| {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            // The first does the work, and others can write; the second cuts off what is done
            // then, or leaves it to another time.
            for mode in ["PASSIVE", "TRUNCATE"] {
                connection.busy_timeout(Duration::ZERO)?;
                let pragma = format!("PRAGMA wal_checkpoint({mode})");
                connection.query_row(&pragma, [], |_| Ok(()))?;
            }
            Ok(())
        });
        match moved {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
            other => other.map_err(|source| registry_error(&self.state, source)),
        }
    }

    pub(super) fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// Returns whether the owner with that lock file lives.
    pub(super) fn is_alive(&self, lockfile: &str) -> bool {
        owner::is_alive(&self.state.owners().join(lockfile))
    }

    /// Runs one immediate transaction, with this process's owner row. If the database
    /// turns out to be broken it is set aside, and the transaction runs on a fresh one.
    pub(super) fn transact<T>(
        &self,
        mut work: impl FnMut(&Transaction<'_>, i64) -> rusqlite::Result<T>,
    ) -> Result<T, VmError> {
        let mut database = lock(&self.database);
        match database.transact(&mut work) {
            Err(error) if is_broken(&error) => {
                self.start_over(&mut database, &error)?;
                database.transact(&mut work)
            }
            other => other,
        }
        .map_err(|source| registry_error(&self.state, source))
    }

    /// Replaces a database that broke while it was open.
    fn start_over(&self, database: &mut Database, error: &rusqlite::Error) -> Result<(), VmError> {
        let _opening = lock_opening(&self.state)?;
        // Another process may have replaced it already.
        let connection = match connect(&self.state.registry()) {
            Err(Trouble::Broken(_)) => {
                let warning = set_aside(&self.state, &error.to_string())?;
                lock(&self.warnings).push(warning);
                connect(&self.state.registry())
            }
            other => other,
        }
        .map_err(|trouble| trouble.into_error(&self.state))?;
        database.connection = connection;
        database
            .register(&self.owner)
            .map_err(|source| registry_error(&self.state, source))
    }

    /// Registers this process, and clears away what dead ones left.
    fn enter(&self) -> Result<(), VmError> {
        // Listed first: what another process keeps from now on is not in the list.
        let kept = self.kept_folders();
        let others = owner::sweep(&self.state.owners(), &self.owner);
        let own = {
            let mut database = lock(&self.database);
            database
                .register(&self.owner)
                .map_err(|source| registry_error(&self.state, source))?;
            database.owner
        };
        let known = self.transact(|tx, _| {
            self.remove_dead_owners(tx, own)?;
            // Written before a power loss, as far as anyone can tell; see `synced`.
            tx.execute(
                "UPDATE snapshot SET state = 'spare' WHERE synced = 0 AND boot_id <> ?1",
                [&self.boot_id],
            )?;
            let mut statement =
                tx.prepare("SELECT id FROM layer UNION SELECT layer FROM doomed")?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            rows.collect::<rusqlite::Result<std::collections::HashSet<_>>>()
        })?;
        if others {
            // A living process may have kept a layer and not yet told.
            return Ok(());
        }
        for folder in kept {
            let name = folder.file_name().map(|name| name.to_string_lossy());
            if name.is_some_and(|name| !known.contains(name.as_ref())) {
                self.state.discard(&folder)?;
            }
        }
        Ok(())
    }

    /// Removes the rows of dead owners; leases and builds go with them.
    pub(super) fn remove_dead_owners(
        &self,
        tx: &Transaction<'_>,
        own: i64,
    ) -> rusqlite::Result<()> {
        let owners: Vec<(i64, String)> = tx
            .prepare_cached("SELECT id, lockfile FROM owner WHERE id <> ?1")?
            .query_map([own], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (id, lockfile) in owners {
            if !self.is_alive(&lockfile) {
                tx.execute("DELETE FROM owner WHERE id = ?1", [id])?;
            }
        }
        Ok(())
    }

    fn kept_folders(&self) -> Vec<PathBuf> {
        fs::read_dir(self.state.kept_layers())
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let database = self
            .database
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let owner = database.owner;
        // If it fails the next process finds the lock free and does the same.
        let _ =
            database.transact(&mut |tx, _| tx.execute("DELETE FROM owner WHERE id = ?1", [owner]));
    }
}

impl Database {
    fn transact<T>(
        &mut self,
        work: &mut impl FnMut(&Transaction<'_>, i64) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let owner = self.owner;
        let tx = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&tx, owner)?;
        tx.commit()?;
        Ok(result)
    }

    fn register(&mut self, lock: &OwnerLock) -> rusqlite::Result<()> {
        self.owner = self.transact(&mut |tx, _| {
            tx.execute(
                "INSERT INTO owner(lockfile, created) VALUES(?1, ?2)",
                params![lock.name(), now()],
            )?;
            Ok(tx.last_insert_rowid())
        })?;
        Ok(())
    }
}

/// Why a database could not be opened.
enum Trouble {
    /// It is not a database, or torn, or of another shape than its version says.
    Broken(String),
    /// Made by a newer program.
    Newer,
    /// The disk, a permission, another process that holds it.
    Other(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::SystemIoFailure,
            ) => Self::Other(error),
            _ => Self::Broken(error.to_string()),
        }
    }
}

impl Trouble {
    fn into_error(self, state: &StateDir) -> VmError {
        match self {
            Self::Broken(reason) => VmError::Other(format!(
                "the new snapshot registry {} is broken too: {reason}",
                state.registry().display()
            )),
            Self::Newer => VmError::Unavailable {
                cause: format!(
                    "the snapshot registry {} was written by a newer version of hm",
                    state.registry().display()
                ),
                remedy: "use that version, or set HM_STATE_DIR to another folder".to_owned(),
            },
            Self::Other(source) => registry_error(state, source),
        }
    }
}

fn connect(path: &Path) -> Result<Connection, Trouble> {
    if path.is_dir() {
        return Err(Trouble::Broken("it is a folder".to_owned()));
    }
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Neither the making nor the closing waits for the disk, which can take seconds behind
    // what steps have written: see `write_out`. A power loss costs the newest rows, or
    // a database that was just made.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "synchronous", "off")?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", LONGEST_LOG)?;
    if schema::migrate(&mut connection)?.is_some() {
        return Err(Trouble::Newer);
    }
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(Trouble::Broken(verdict));
    }
    // Finds tables that are missing although the version says they are there.
    connection.prepare(
        "SELECT * FROM snapshot, layer, snapshot_layer, doomed, lease, building, owner, repository",
    )?;
    Ok(connection)
}

/// Moves a broken database away and says so.
fn set_aside(state: &StateDir, reason: &str) -> Result<String, VmError> {
    let path = state.registry();
    let suffix = format!("corrupt-{}", now());
    let aside = with_suffix(&path, &format!(".{suffix}"));
    fs::rename(&path, &aside).map_err(io_error("cannot set aside", &path))?;
    for part in ["-wal", "-shm"] {
        // They belong to the old one; a new one must not find them.
        let _ = fs::rename(
            with_suffix(&path, part),
            with_suffix(&path, &format!(".{suffix}{part}")),
        );
    }
    Ok(format!(
        "the snapshot registry {} was broken ({reason}) and is set aside as {}; the cache starts \
         empty",
        path.display(),
        aside.display()
    ))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Holds off other processes while the database is made, migrated or set aside.
fn lock_opening(state: &StateDir) -> Result<File, VmError> {
    let path = state.root().join("registry.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(io_error("cannot create", &path))?;
    flock(&file, FlockOperation::LockExclusive).map_err(io_error("cannot lock", &path))?;
    Ok(file)
}

fn is_broken(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

fn registry_error(state: &StateDir, source: rusqlite::Error) -> VmError {
    VmError::Registry {
        path: state.registry(),
        source,
    }
}

/// Unix time in milliseconds.
pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves no half-written state: a transaction rolls back.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

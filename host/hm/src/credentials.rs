//! `credentials.toml` in the user's configuration folder: tokens, by the origin that they
//! belong to. The only place where hm keeps a secret, and the only one that reads it.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Folders;
use crate::failure::{Exit, Failure};

/// The predecessor's name for what its tokens are for: its logins stay good.
const SERVICE: &str = "harmont-cloud";

/// The file, as it was read.
#[derive(Debug)]
pub(crate) struct Credentials {
    path: PathBuf,
    content: Content,
    /// Others than the user can read the file.
    pub(crate) is_exposed: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    /// Service, then origin, then token.
    #[serde(default)]
    entries: BTreeMap<String, BTreeMap<String, String>>,
    /// Of other versions of hm.
    #[serde(flatten)]
    others: toml::Table,
}

impl Credentials {
    /// Reads the file; one that is not there holds nothing.
    ///
    /// # Errors
    /// Usage, if it cannot be read or is not of the form: it is never overwritten then.
    pub(crate) fn read(folders: &Folders) -> Result<Self, Failure> {
        let path = folders.config.path.join("credentials.toml");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(refused("cannot read the credentials in", &path, error)),
        };
        let content = toml::from_str(&text).map_err(|error| {
            // The parser's whole story would show the line, and with it a token.
            let why = io::Error::other(error.message().to_owned());
            refused("cannot make sense of the credentials in", &path, why)
        })?;
        let is_exposed = path
            .metadata()
            .is_ok_and(|metadata| metadata.mode() & 0o077 != 0);
        Ok(Self {
            path,
            content,
            is_exposed,
        })
    }

    /// Returns where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the token of an origin.
    pub(crate) fn token(&self, origin: &str) -> Option<&str> {
        let token = self.content.entries.get(SERVICE)?.get(origin)?;
        Some(token)
    }

    /// Stores a token in place of the origin's last one.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn store(folders: &Folders, origin: &str, token: &str) -> Result<(), Failure> {
        Self::change(folders, |entries| {
            let tokens = entries.entry(SERVICE.to_owned()).or_default();
            tokens.insert(origin.to_owned(), token.to_owned());
        })
    }

    /// Forgets the token of an origin; false if there was none.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn forget(folders: &Folders, origin: &str) -> Result<bool, Failure> {
        if Self::read(folders)?.token(origin).is_none() {
            return Ok(false);
        }
        Self::change(folders, |entries| {
            if let Some(tokens) = entries.get_mut(SERVICE) {
                tokens.remove(origin);
                if tokens.is_empty() {
                    entries.remove(SERVICE);
                }
            }
        })?;
        Ok(true)
    }

    /// Changes the file, one process at a time, for this user alone, whole or not at all.
    fn change(
        folders: &Folders,
        change: impl FnOnce(&mut BTreeMap<String, BTreeMap<String, String>>),
    ) -> Result<(), Failure> {
        let folder = &folders.config.path;
        let path = folder.join("credentials.toml");
        let written = |error| refused("cannot write the credentials to", &path, error);
        let _lock = lock(folder).map_err(written)?;
        let mut credentials = Self::read(folders)?;
        change(&mut credentials.content.entries);
        let text = toml::to_string(&credentials.content).map_err(|error| {
            let why = io::Error::other(error.to_string());
            refused("cannot put into words the credentials for", &path, why)
        })?;
        let write = || -> io::Result<()> {
            // Made with mode 0600.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(written)
    }
}

/// Waits for other processes that change the file.
fn lock(folder: &Path) -> io::Result<File> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join("credentials.lock"))?;
    file.lock()?;
    Ok(file)
}

fn refused(what: &str, path: &Path, error: io::Error) -> Failure {
    Failure::caused(Exit::Usage, format!("{what} {}", path.display()), error).hint(
        "correct the file, or move it away and `hm cloud login` again; HM_API_TOKEN works without it",
    )
}

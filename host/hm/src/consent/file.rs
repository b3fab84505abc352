//! `grants.toml` in the user's configuration folder: the only thing that grants.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, Metadata};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::grant::{Grant, Need, Refusal};
use crate::config::Folders;
use crate::failure::{Exit, Failure};

/// Version of the file's form.
const VERSION: u32 = 1;

/// All grants of the user.
#[derive(Debug)]
pub(crate) struct GrantFile {
    path: PathBuf,
    content: Content,
}

/// As the file has it. An unknown field may be a restriction of a newer version, so that it
/// is never passed over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    #[serde(default)]
    grant: BTreeMap<String, Grant>,
}

impl GrantFile {
    /// Reads the file; one that is not there grants nothing.
    ///
    /// # Errors
    /// Usage, if it cannot be read, is not of a known form, or others could have written it.
    pub(crate) fn read(folders: &Folders) -> Result<Self, Failure> {
        let path = folders.config.path.join("grants.toml");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self {
                    path,
                    content: Content {
                        version: VERSION,
                        grant: BTreeMap::new(),
                    },
                });
            }
            Err(error) => return Err(refused("cannot read the grants in", &path, error)),
        };
        check_owners(&path)?;
        let content: Content = toml::from_str(&text)
            .map_err(|error| refused("cannot make sense of the grants in", &path, error))?;
        if content.version != VERSION {
            return Err(Failure::usage(format!(
                "the grants in {} are of version {}, and this hm reads version {VERSION}",
                path.display(),
                content.version
            )));
        }
        Ok(Self { path, content })
    }

    /// Returns all grants by digest.
    pub(crate) fn grants(&self) -> &BTreeMap<String, Grant> {
        &self.content.grant
    }

    /// Returns the grant that covers a need.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn covering(&self, need: &Need<'_>) -> Result<&Grant, Refusal> {
        let grant = self
            .content
            .grant
            .get(need.digest)
            .ok_or(Refusal::Unknown)?;
        grant.covers(need)?;
        Ok(grant)
    }

    /// Adds a grant in place of the one for the same bytes. Repositories are added to those
    /// that were there, for nothing but the same permissions.
    pub(crate) fn put(&mut self, digest: &str, mut grant: Grant) {
        if let Some(old) = self.content.grant.get(digest)
            && old.allow == grant.allow
            && old.settings == grant.settings
            && old.vm == grant.vm
            && old.http == grant.http
            && old.secrets == grant.secrets
        {
            let new = std::mem::take(&mut grant.repos);
            grant.repos.clone_from(&old.repos);
            grant
                .repos
                .extend(new.into_iter().filter(|repo| !old.repos.contains(repo)));
        }
        if grant.repos.iter().any(|repo| repo == "*") {
            grant.repos = vec!["*".into()];
        }
        self.content.grant.insert(digest.to_owned(), grant);
    }

    /// Adds to the grant for the same bytes, if there is one for the same repositories; what
    /// was allowed stays. Other repositories are asked again: nothing was allowed there.
    pub(crate) fn add(&mut self, digest: &str, grant: Grant) {
        let Some(old) = self.content.grant.get(digest) else {
            return self.put(digest, grant);
        };
        let is_known = |repo: &String| old.repos.contains(repo) || old.repos == ["*"];
        if !grant.repos.iter().all(is_known) {
            return self.put(digest, grant);
        }
        let mut whole = old.clone();
        whole.repos.clone_from(&grant.repos);
        whole.add(grant);
        self.put(digest, whole);
    }

    /// Takes a grant away; false if there was none.
    pub(crate) fn remove(&mut self, digest: &str) -> bool {
        self.content.grant.remove(digest).is_some()
    }

    /// Writes the file for this user alone, whole or not at all.
    ///
    /// # Errors
    /// Usage, if it cannot be written.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let text = toml::to_string(&self.content)
            .map_err(|error| refused("cannot put into words the grants for", &self.path, error))?;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let write = || -> std::io::Result<()> {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
            // Made with mode 0600.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(HEAD.as_bytes())?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            Ok(())
        };
        write().map_err(|error| refused("cannot write the grants to", &self.path, error))
    }
}

const HEAD: &str = "# What execution backends may do, by the digest of their bytes: `hm backend grant` writes this.\n\n";

fn refused(
    what: &str,
    path: &Path,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Failure {
    Failure::caused(Exit::Usage, format!("{what} {}", path.display()), error)
        .hint("nothing is granted until the file is in order; `hm backend list` shows what is")
}

/// Checks that only this user (and root) could have written the file.
fn check_owners(path: &Path) -> Result<(), Failure> {
    let real = path
        .canonicalize()
        .map_err(|error| refused("cannot find the grants in", path, error))?;
    for part in real.ancestors() {
        let metadata = part
            .metadata()
            .map_err(|error| refused("cannot check who owns", part, error))?;
        if let Some(problem) = problem(&metadata, part == real) {
            return Err(Failure::usage(format!(
                "the grants in {} are not used: {} {problem}, so that others could have written them",
                path.display(),
                part.display()
            ))
            .hint("correct its owner and mode, or set HM_CONFIG_DIR to a folder in your own home"));
        }
    }
    Ok(())
}

fn problem(metadata: &Metadata, is_file: bool) -> Option<String> {
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let (uid, gid, mode) = (metadata.uid(), metadata.gid(), metadata.mode());
    if uid != 0 && uid != user {
        return Some(format!("belongs to user {uid}"));
    }
    if !is_file && mode & 0o1000 != 0 {
        return None;
    }
    if mode & 0o002 != 0 {
        return Some("can be written by everybody".into());
    }
    // A group of one's own with umask 002 is how some systems set up homes.
    (mode & 0o020 != 0 && gid != 0 && gid != group)
        .then(|| format!("can be written by group {gid}"))
}

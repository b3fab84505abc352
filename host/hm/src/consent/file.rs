//! `grants.toml` in the user's configuration folder: the only thing that grants.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, Metadata};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hm_exec::Limits;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::grant::{Grant, Need, Refusal};
use crate::config::Folders;
use crate::failure::{Exit, Failure};

/// Version of the file's form.
const VERSION: u32 = 1;
/// Bytes of a file that people and hm write.
const MOST: u64 = 4 << 20;

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
        let text = match read_own(&path)? {
            Some(text) => text,
            None => {
                return Ok(Self {
                    path,
                    content: Content {
                        version: VERSION,
                        grant: BTreeMap::new(),
                    },
                });
            }
        };
        let content: Content = toml::from_str(&text)
            .map_err(|error| refused("cannot make sense of the grants in", &path, error))?;
        if content.version != VERSION {
            return Err(Failure::usage(format!(
                "the grants in {} are of version {}, and this hm reads version {VERSION}",
                path.display(),
                content.version
            )));
        }
        for (digest, grant) in &content.grant {
            let problem = if !super::is_digest(digest) {
                Some("no digest: that is `sha256:` and 64 digits from 0 to 9 and a to f".into())
            } else {
                grant.limited(Limits::default()).err()
            };
            if let Some(problem) = problem {
                return Err(Failure::usage(format!(
                    "the grants in {} are not used: `{}` is wrong: {problem}",
                    path.display(),
                    hm_render::clean_line(digest)
                ))
                .hint("correct the file, or remove that grant from it"));
            }
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

    /// Returns whether machines were granted to these bytes in a repository, whatever else a
    /// run needs.
    pub(crate) fn lends_machines(&self, digest: &str, repository: &Path) -> bool {
        let grant = self.content.grant.get(digest);
        grant.is_some_and(|grant| grant.vm.is_some() && grant.is_for(repository))
    }

    /// Adds a grant. To one for the same bytes it adds what it allows, for the repositories that
    /// it names; one that allows the same gets another repository. What was allowed elsewhere must
    /// not come to hold here, nor the other way round. Returns the repositories for which a grant
    /// has ended by that.
    pub(crate) fn add(&mut self, digest: &str, grant: Grant) -> Vec<String> {
        let Some(old) = self.content.grant.get(digest).cloned() else {
            self.content.grant.insert(digest.to_owned(), grant);
            return Vec::new();
        };
        let is_same = old
            == Grant {
                repos: old.repos.clone(),
                name: old.name.clone(),
                ..grant.clone()
            };
        let is_known = |repo: &String| old.repos.contains(repo) || old.repos == ["*"];
        let mut new = grant;
        if is_same {
            let more = std::mem::replace(&mut new.repos, old.repos.clone());
            new.repos
                .extend(more.into_iter().filter(|repo| !old.repos.contains(repo)));
            if new.repos.iter().any(|repo| repo == "*") {
                new.repos = vec!["*".into()];
            }
        } else if new.repos.iter().all(is_known) {
            let repos = std::mem::take(&mut new.repos);
            let more = std::mem::replace(&mut new, old.clone());
            new.repos = repos;
            new.extend(more);
        }
        let has_ended = |repo: &String| !new.repos.contains(repo) && new.repos != ["*"];
        let ended = old.repos.into_iter().filter(has_ended).collect();
        self.content.grant.insert(digest.to_owned(), new);
        ended
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

/// Reads the file through one descriptor, so that what was checked is what is read; none if
/// it is not there.
fn read_own(path: &Path) -> Result<Option<String>, Failure> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let opened = File::options()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(unsafe_file(path, path, "is a link"));
        }
        Err(error) => return Err(refused("cannot read the grants in", path, error)),
    };
    let failed = |error| refused("cannot read the grants in", path, error);
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(unsafe_file(path, path, "is no regular file"));
    }
    if metadata.nlink() != 1 {
        return Err(unsafe_file(path, path, "has another name"));
    }
    check_owners(path, &metadata)?;
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

fn unsafe_file(path: &Path, part: &Path, problem: &str) -> Failure {
    Failure::usage(format!(
        "the grants in {} are not used: {} {problem}, so that others could have written them",
        path.display(),
        part.display()
    ))
    .hint("correct its owner and mode, or set HM_CONFIG_DIR to a folder in your own home")
}

/// Checks that only this user (and root) could have written the file.
fn check_owners(path: &Path, file: &Metadata) -> Result<(), Failure> {
    // hm itself writes it for the user alone.
    if file.mode() & 0o022 != 0 {
        return Err(unsafe_file(
            path,
            path,
            "can be written by everybody or by a group",
        ));
    }
    let folder = path.parent().unwrap_or(path);
    let real = folder
        .canonicalize()
        .map_err(|error| refused("cannot find the grants in", path, error))?;
    let mut parts = vec![(path.to_owned(), file.clone())];
    for part in real.ancestors() {
        let metadata = part
            .metadata()
            .map_err(|error| refused("cannot check who owns", part, error))?;
        parts.push((part.to_owned(), metadata));
    }
    match parts
        .iter()
        .find_map(|(part, metadata)| Some((part, problem(metadata)?)))
    {
        None => Ok(()),
        Some((part, problem)) => Err(unsafe_file(path, part, &problem)),
    }
}

fn problem(metadata: &Metadata) -> Option<String> {
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let (uid, gid, mode) = (metadata.uid(), metadata.gid(), metadata.mode());
    if uid != 0 && uid != user {
        return Some(format!("belongs to user {uid}"));
    }
    if mode & 0o1000 != 0 {
        return None;
    }
    if mode & 0o002 != 0 {
        return Some("can be written by everybody".into());
    }
    // A group of one's own with umask 002 is how some systems set up homes.
    (mode & 0o020 != 0 && gid != 0 && gid != group)
        .then(|| format!("can be written by group {gid}"))
}

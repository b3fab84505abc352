//! `hm.lock` at the repository's root: the bytes that the repository's backends had when
//! somebody looked at them. It pins, and grants nothing.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Exit, Failure};

/// Name of the file.
const NAME: &str = "hm.lock";
const HEAD: &str =
    "# The bytes of this repository's backends: `hm backend lock` writes this. Commit it.\n\n";

/// All pins of a repository.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    backend: Vec<Pin>,
}

/// One backend's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    /// As in `[backends.NAME]`.
    pub(crate) name: String,
    /// The file, from the repository's root.
    pub(crate) source: String,
    /// 64 hex digits.
    pub(crate) sha256: String,
}

impl Pin {
    /// Returns the digest as hm writes it elsewhere.
    pub(crate) fn digest(&self) -> String {
        format!("sha256:{}", self.sha256)
    }
}

/// The pins of a repository.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    content: Content,
}

impl Lock {
    /// Reads the pins; a repository without the file has none.
    ///
    /// # Errors
    /// Usage: the file cannot be read, or is of another form.
    pub(crate) fn read(root: &Path) -> Result<Self, Failure> {
        let path = root.join(NAME);
        let text = match crate::plain_file::read(&path) {
            Ok(Some(text)) => text,
            Ok(None) => {
                return Ok(Self {
                    path,
                    content: Content::default(),
                });
            }
            Err(error) => return Err(refused("cannot read", &path, error)),
        };
        let content: Content = toml::from_str(&text).map_err(|error| {
            // The file's own words, without its lines around them.
            let why = hm_render::clean_line(error.message()).into_owned();
            refused("cannot make sense of", &path, std::io::Error::other(why))
        })?;
        for pin in &content.backend {
            if !crate::consent::is_digest(&pin.digest()) {
                return Err(Failure::usage(format!(
                    "{}: the sha256 of `{}` is not 64 digits from 0 to 9 and a to f",
                    path.display(),
                    hm_render::clean_line(&pin.name)
                ))
                .hint("`hm backend lock` writes it anew"));
            }
        }
        Ok(Self { path, content })
    }

    /// Returns the pin of a backend of the repository, by its name or by its file.
    pub(crate) fn pin(&self, root: &Path, name: Option<&str>, file: &Path) -> Option<&Pin> {
        let source = source(root, file);
        self.content
            .backend
            .iter()
            .find(|pin| Some(pin.name.as_str()) == name || pin.source == source)
    }

    /// Pins a backend's bytes in place of what was pinned under its name.
    pub(crate) fn put(&mut self, root: &Path, name: &str, file: &Path, digest: &str) {
        self.content.backend.retain(|pin| pin.name != name);
        self.content.backend.push(Pin {
            name: name.to_owned(),
            source: source(root, file),
            sha256: digest.trim_start_matches("sha256:").to_owned(),
        });
        self.content.backend.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// Usage, if it cannot be written.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        use std::io::Write;
        let text = toml::to_string(&self.content)
            .map_err(|error| refused("cannot put into words", &self.path, error))?;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::Builder::new()
                .prefix(".hm.lock-")
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
                .tempfile_in(folder)?;
            file.write_all(HEAD.as_bytes())?;
            file.write_all(text.as_bytes())?;
            file.persist(&self.path)?;
            Ok(())
        };
        write().map_err(|error| refused("cannot write", &self.path, error))
    }

    /// Returns the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns a file as the lock names it: from the root, if it lies below.
fn source(root: &Path, file: &Path) -> String {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let real = absolute.canonicalize().unwrap_or(absolute);
    real.strip_prefix(root)
        .unwrap_or(&real)
        .to_string_lossy()
        .into_owned()
}

/// Returns whether a name can stand in a command that people paste.
pub(crate) fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && !name.starts_with('-') && name.bytes().all(is_plain)
}

fn refused(
    what: &str,
    path: &Path,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Failure {
    Failure::caused(Exit::Usage, format!("{what} {}", path.display()), error)
}

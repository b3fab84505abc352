//! `credentials.toml`: what the host adds to requests of components. Read here and nowhere
//! else; no component and no repository sees it.
//!
//! ```toml
//! [http.acme]
//! value = "Bearer …"
//! header = "authorization"    # the default
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use serde::Deserialize;

use crate::config::Folders;
use crate::failure::{Exit, Failure};

/// The file, read when the first entry is asked for.
pub(crate) struct Credentials {
    path: PathBuf,
    entries: Result<BTreeMap<String, Entry>, Problem>,
}

/// One header.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Name of the header.
    #[serde(default = "authorization")]
    pub(crate) header: String,
    /// All of its value.
    pub(crate) value: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

fn authorization() -> String {
    "authorization".into()
}

/// The part of the file that is read here; other tables belong to others.
#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    http: BTreeMap<String, Entry>,
}

/// Why the file is not used.
#[derive(Debug, Clone)]
struct Problem(String);

impl Credentials {
    /// Reads the file of these folders; one that is not there has no entries.
    pub(crate) fn read(folders: &Folders) -> Self {
        let path = folders.config.path.join("credentials.toml");
        let entries = read(&path);
        Self { path, entries }
    }

    /// Returns an entry.
    ///
    /// # Errors
    /// Usage, if there is none, or if others than the user could read the file.
    pub(crate) fn get(&self, name: &str) -> Result<&Entry, Failure> {
        let shown = self.path.display();
        let name = hm_render::clean_line(name);
        let entries = self.entries.as_ref().map_err(|Problem(problem)| {
            Failure::new(
                Exit::Usage,
                format!("the credentials in {shown} are not used: {problem}"),
            )
            .hint(format!("chmod 600 {shown}"))
        })?;
        entries.get(&*name).ok_or_else(|| {
            Failure::usage(format!("there is no credential `{name}` in {shown}")).hint(format!(
                "add it there, as\n[http.{name}]\nvalue = \"Bearer …\""
            ))
        })
    }
}

fn read(path: &PathBuf) -> Result<BTreeMap<String, Entry>, Problem> {
    let problem = |text: String| Err(Problem(text));
    let no_link = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = match File::options().read(true).custom_flags(no_link).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return problem(error.to_string()),
    };
    // Of what was opened, whatever lies at the path by now.
    let meta = match file.metadata() {
        Ok(meta) => meta,
        Err(error) => return problem(error.to_string()),
    };
    if !meta.is_file() {
        return problem("that is no file".into());
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return problem(format!("the file belongs to user {}", meta.uid()));
    }
    if meta.mode() & 0o077 != 0 {
        return problem(format!(
            "others may read it (mode {:o})",
            meta.mode() & 0o777
        ));
    }
    let mut text = String::new();
    if let Err(error) = file.read_to_string(&mut text) {
        return problem(error.to_string());
    }
    match toml::from_str::<Content>(&text) {
        Ok(content) => Ok(content.http),
        // The parser's own words would show the line.
        Err(error) => problem(format!("it cannot be understood ({})", error.message())),
    }
}

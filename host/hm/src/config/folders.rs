//! The three folders of a user, by the XDG base directory rules.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Where hm keeps what outlives a run. Found without the repository's help.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    /// `config.toml`, `grants.toml`, `seal.key`.
    pub(crate) config: Folder,
    /// Compiled components.
    pub(crate) cache: Folder,
    /// Registry, machines, records of runs.
    pub(crate) state: Folder,
}

/// A folder, and what named it.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    /// Absolute; need not exist.
    pub(crate) path: PathBuf,
    /// A variable, or `default`.
    pub(crate) origin: &'static str,
}

impl Folders {
    /// Finds the folders from the environment.
    ///
    /// # Errors
    /// Usage, if neither an override nor `HOME` says where they are.
    pub(crate) fn find() -> Result<Self, Failure> {
        Ok(Self {
            config: folder("HM_CONFIG_DIR", "XDG_CONFIG_HOME", ".config")?,
            cache: folder("HM_CACHE_DIR", "XDG_CACHE_HOME", ".cache")?,
            state: folder("HM_STATE_DIR", "XDG_STATE_HOME", ".local/state")?,
        })
    }

    /// Returns the user's configuration file.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.config.path.join("config.toml")
    }

    /// Returns where compiled components are kept.
    pub(crate) fn components(&self) -> PathBuf {
        self.cache.path.join("components")
    }

    /// Returns the key that seals compiled components. Not beside them: cache folders are
    /// restored from elsewhere, the configuration is not.
    pub(crate) fn seal_key(&self) -> PathBuf {
        self.config.path.join("seal.key")
    }
}

fn folder(own: &'static str, xdg: &'static str, below_home: &str) -> Result<Folder, Failure> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(path) = set(own) {
        let path = std::path::absolute(&path).map_err(|error| {
            Failure::caused(
                crate::failure::Exit::Usage,
                format!("cannot use {own}"),
                error,
            )
        })?;
        return Ok(Folder { path, origin: own });
    }
    // The specification has relative values ignored.
    if let Some(path) = set(xdg).filter(|path| path.is_absolute()) {
        return Ok(Folder {
            path: path.join("hm"),
            origin: xdg,
        });
    }
    match set("HOME").filter(|path| path.is_absolute()) {
        Some(home) => Ok(Folder {
            path: home.join(below_home).join("hm"),
            origin: "default",
        }),
        None => Err(Failure::usage(format!(
            "no folder for hm's files: neither {own}, {xdg} nor HOME is set"
        ))
        .hint(format!("set {own} to a folder of yours"))),
    }
}

/// Returns `path` with the home folder as `~`, for people.
pub(crate) fn shown(path: &Path) -> String {
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute() && home != Path::new("/"));
    match home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}

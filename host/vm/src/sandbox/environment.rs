//! What commands find in their environment, and as whom they run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::wire::Identity;
use crate::image::ImageConfig;

/// What every command of a machine starts from.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) variables: BTreeMap<String, String>,
    /// None is root, with the host's shell.
    pub(super) identity: Option<Identity>,
}

impl Environment {
    /// Returns that of the host's own file system, with the folders lent to it.
    pub(super) fn host(exposed: &[PathBuf]) -> Self {
        Self {
            variables: variables(exposed),
            identity: None,
        }
    }

    /// Returns that of an image.
    pub(super) fn image(config: &ImageConfig) -> Self {
        Self {
            variables: config.environment(),
            identity: Some(Identity {
                user: config.user.clone(),
            }),
        }
    }
}

/// Returns the variables that every command on the host's file system starts from.
fn variables(exposed: &[PathBuf]) -> BTreeMap<String, String> {
    let mut path = bins(exposed);
    path.extend(
        [
            "/usr/local/sbin",
            "/usr/local/bin",
            "/usr/sbin",
            "/usr/bin",
            "/sbin",
            "/bin",
        ]
        .map(str::to_owned),
    );
    let mut env: BTreeMap<String, String> = [
        ("HOME", "/root"),
        ("USER", "root"),
        ("LOGNAME", "root"),
        ("SHELL", "/bin/sh"),
        ("LANG", "C.UTF-8"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    env.insert("PATH".to_owned(), path.join(":"));
    for folder in exposed {
        // Tools look for these below HOME, which is not where they are lent.
        let (name, value) = match folder.file_name().and_then(|name| name.to_str()) {
            Some(".rustup") => ("RUSTUP_HOME", Some(folder.as_path())),
            Some(".pyenv") => ("PYENV_ROOT", Some(folder.as_path())),
            Some(".nvm") => ("NVM_DIR", Some(folder.as_path())),
            Some("registry")
                if folder
                    .parent()
                    .is_some_and(|above| above.ends_with(".cargo")) =>
            {
                ("CARGO_HOME", folder.parent())
            }
            _ => continue,
        };
        if let Some(value) = value.and_then(Path::to_str)
            && !value.starts_with("/root/")
        {
            env.insert(name.to_owned(), value.to_owned());
        }
    }
    env
}

/// Folders of programs in what is lent.
fn bins(exposed: &[PathBuf]) -> Vec<String> {
    let mut found = Vec::new();
    for folder in exposed {
        let mut candidates = vec![folder.join("shims"), folder.join("bin")];
        if folder.ends_with("bin") {
            candidates.push(folder.clone());
        }
        if folder.ends_with(".nvm") {
            candidates.extend(newest(&folder.join("versions/node")).map(|node| node.join("bin")));
        }
        found.extend(
            candidates
                .iter()
                .filter(|candidate| candidate.is_dir())
                .filter_map(|candidate| candidate.to_str())
                .filter(|candidate| !candidate.contains(':'))
                .map(str::to_owned),
        );
    }
    found
}

/// The folder with the highest version for a name.
fn newest(folder: &Path) -> Option<PathBuf> {
    let version = |path: &PathBuf| -> Vec<u64> {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .split(|letter: char| !letter.is_ascii_digit())
            .filter_map(|part| part.parse().ok())
            .collect()
    };
    fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .max_by_key(version)
}

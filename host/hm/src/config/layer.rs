//! One place that settings come from, and the settings that it holds.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// The user's `config.toml`.
    User(PathBuf),
    /// The repository's `.hm/config.toml`.
    Repository(PathBuf),
    /// This variable.
    Variable(String),
    /// This flag.
    Flag(&'static str),
}

impl Origin {
    /// Returns the folder against which relative paths of this origin count; none for
    /// variables and flags, whose paths count from the current folder.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::User(file) | Self::Repository(file) => file.parent(),
            _ => None,
        }
    }

    /// Returns true for the repository's file, which may ask but never grant.
    pub(crate) fn is_repository(&self) -> bool {
        matches!(self, Self::Repository(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::User(file) | Self::Repository(file) => f.write_str(&super::folders::shown(file)),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Switch(bool),
    /// A list of texts.
    Texts(Vec<String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Switch(on) => on.fmt(f),
            Self::Texts(texts) => f.write_str(&texts.join(", ")),
        }
    }
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Path of the key, as `["vm", "network"]`.
    pub(crate) path: Vec<String>,
    /// Checked against the key's kind.
    pub(crate) value: Value,
    /// Where exactly.
    pub(crate) origin: Origin,
}

impl Setting {
    /// Returns the path as one would write it in TOML.
    pub(crate) fn name(&self) -> String {
        let part = |part: &String| {
            let bare = part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            if bare && !part.is_empty() {
                part.clone()
            } else {
                format!("{part:?}")
            }
        };
        self.path.iter().map(part).collect::<Vec<_>>().join(".")
    }
}

/// All settings of one place, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer {
    /// Each key at most once.
    pub(crate) settings: Vec<Setting>,
}

impl Layer {
    /// Returns the setting at a path.
    pub(crate) fn get(&self, path: &[&str]) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.path == path)
    }
}

//! Settings as the author's own types.

mod tree;

use std::fmt;

use serde::de::DeserializeOwned;

use crate::{BackendError, Rejection, RunRequest};
use tree::Tree;

impl RunRequest {
    /// Reads the user's settings (`[backends.NAME.settings]`) as `T`. What the user wrote
    /// as a table is a struct or a map here; numbers and booleans are told by `T`'s types.
    ///
    /// ```
    /// #[derive(serde::Deserialize)]
    /// #[serde(deny_unknown_fields)]
    /// struct Settings {
    ///     url: String,
    ///     #[serde(default = "five")]
    ///     poll_seconds: u64,
    /// }
    /// fn five() -> u64 { 5 }
    ///
    /// # fn f(request: hm_backend_sdk::RunRequest) -> Result<(), hm_backend_sdk::BackendError> {
    /// let settings: Settings = request.settings()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A setting is missing, is none of `T`'s, or has another type; the text names it. By
    /// `?` the plan is rejected with it.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        let tree = Tree::new(&self.settings);
        serde_path(&tree)
    }
}

fn serde_path<T: DeserializeOwned>(tree: &Tree<'_>) -> Result<T, SettingsError> {
    T::deserialize(tree)
}

/// The settings are not what the backend takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// Of the setting, from the inside out.
    path: Vec<String>,
    problem: String,
}

impl SettingsError {
    fn new(problem: impl fmt::Display) -> Self {
        Self {
            path: Vec::new(),
            problem: problem.to_string(),
        }
    }

    /// Says that it is about a part of the setting `name`.
    fn within(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return write!(f, "settings: {}", self.problem);
        }
        let path: Vec<_> = self.path.iter().rev().map(String::as_str).collect();
        write!(f, "setting `{}`: {}", path.join("."), self.problem)
    }
}

impl std::error::Error for SettingsError {}

impl serde::de::Error for SettingsError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self::new(problem)
    }
}

impl From<SettingsError> for BackendError {
    fn from(error: SettingsError) -> Self {
        Self::Rejected(Rejection {
            code: "invalid_settings".into(),
            message: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests;

//! A failure that crosses a process border.

use std::fmt::Display;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::VmError;

/// What went wrong in the spawner or in a machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Failure {
    /// What was tried, on what, and why it failed.
    pub(super) cause: String,
    /// The system's error number, where there is one.
    pub(super) errno: Option<i32>,
    /// What to do about it, where the cause is this machine's set-up.
    pub(super) remedy: Option<String>,
}

impl Failure {
    /// A failure whose cause is the machine's set-up.
    pub(super) fn unavailable(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            cause: cause.into(),
            errno: None,
            remedy: Some(remedy.into()),
        }
    }

    /// Adds what to do about it.
    pub(super) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl From<Failure> for VmError {
    fn from(failure: Failure) -> Self {
        let full = failure.errno == Some(libc::ENOSPC) || failure.errno == Some(libc::EDQUOT);
        match failure.remedy {
            Some(remedy) => Self::Unavailable {
                cause: failure.cause,
                remedy,
            },
            None if full => Self::Unavailable {
                cause: failure.cause,
                remedy: "free some space there, for example with `hm cache prune`".to_owned(),
            },
            None => Self::Other(failure.cause),
        }
    }
}

/// Gives an error its action and object; for `map_err`.
pub(super) fn failed<E: Into<io::Error>>(
    action: &str,
    object: impl AsRef<Path>,
) -> impl FnOnce(E) -> Failure {
    move |error| {
        let error = error.into();
        Failure {
            cause: describe(action, object.as_ref().display(), &error),
            errno: error.raw_os_error(),
            remedy: None,
        }
    }
}

fn describe(action: &str, object: impl Display, error: &io::Error) -> String {
    format!("{action} {object}: {error}")
}

//! What can go wrong with a machine, told so that a person can act on it.

use std::ffi::OsStr;
use std::path::PathBuf;

/// Returns a name that somebody else chose, or their words, on one line.
pub(crate) fn one_line(text: impl AsRef<OsStr>) -> String {
    let text = text.as_ref().to_string_lossy();
    text.chars()
        .map(|c| match c {
            '\n' => '⏎',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// A failure of the subsystem. A command that fails is not one of these.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The engine cannot provide the image.
    #[error("the {engine} engine cannot provide the image `{}`", one_line(.image))]
    ImageNotFound {
        /// As it was asked for.
        image: String,
        /// Name of the engine.
        engine: &'static str,
    },
    /// The image could not be fetched, or is not fit to be used.
    #[error("the image `{}` cannot be had: {}", one_line(.image), one_line(.cause))]
    ImageFetch {
        /// As it was asked for.
        image: String,
        /// What the registry, or the way to it, answered.
        cause: String,
        /// What to do about it, down to the command.
        remedy: String,
    },
    /// Over a limit that the user set.
    #[error("{0}")]
    Limit(String),
    /// The machine was destroyed, or lost with its engine.
    #[error("machine {0} is gone")]
    Gone(String),
    /// The engine cannot work here.
    #[error("{cause}")]
    Unavailable {
        /// The exact cause.
        cause: String,
        /// What to do about it, down to the command.
        remedy: String,
    },
    /// A system call failed.
    #[error("{action} {}", .path.display())]
    Io {
        /// What was tried, as "cannot create" or "cannot mount".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The registry could not be used.
    #[error("the snapshot registry {} could not be used", .path.display())]
    Registry {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// Anything else; the text is the whole story.
    #[error("{0}")]
    Other(String),
}

impl VmError {
    /// Returns what to do next, if this error knows.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Unavailable { remedy, .. } | Self::ImageFetch { remedy, .. } => {
                Some(remedy.clone())
            }
            Self::ImageNotFound {
                image,
                engine: "docker",
            } => Some(format!(
                "it runs images of its daemon: name one, as `--image '{}=debian:12'`, or run on \
                 this machine's own file system by `--engine sandbox`",
                one_line(image)
            )),
            Self::ImageNotFound { image, .. } => Some(format!(
                "run it on this machine's own file system: `--image '{}=host'`, \
                 or for every image `--image '*=host'`; or set it in `[images]` of the configuration",
                one_line(image)
            )),
            Self::Registry { .. } => Some(
                "free some space on its disk, make it writable for this user, or set HM_STATE_DIR \
                 to another folder"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

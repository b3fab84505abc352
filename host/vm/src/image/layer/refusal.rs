//! Why a layer was refused.

use std::io;

/// What is wrong with a layer, or kept it from being written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// An entry that no layer should have.
    #[error("its entry `{entry}` {why}")]
    Entry {
        /// As it stands in the archive, made readable.
        entry: String,
        /// What it tries.
        why: &'static str,
    },
    /// Over a limit.
    #[error("it has more than {allowed}, the limit `{key}`")]
    Limit {
        /// Key of the user's configuration.
        key: &'static str,
        /// The limit with its unit.
        allowed: String,
    },
    /// Not what was promised.
    #[error("its digest is {found}, and {promised} was promised")]
    Digest {
        /// Of the content.
        found: String,
        /// By whoever refers to it.
        promised: String,
    },
    /// In a form that is not read.
    #[error("it is compressed with {0}; gzip, zstd and plain tar are read")]
    Compression(&'static str),
    /// No archive, or a torn one.
    #[error("its archive cannot be read: {0}")]
    Archive(io::Error),
    /// The disk's fault, or this program's.
    #[error("its entry `{entry}` cannot be written: {source}")]
    Write {
        /// As it stands in the archive, made readable.
        entry: String,
        /// The system's word.
        source: io::Error,
    },
    /// The caller has lost interest.
    #[error("it was not needed any more")]
    Stopped,
}

impl Refusal {
    /// Takes over an error of a reader, which may carry one of these.
    pub(super) fn reading(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(refusal) => refusal,
            Err(error) => Self::Archive(error),
        }
    }

    /// Returns whether there is no room left to write to.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Write { source, .. } if matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ))
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::other(refusal)
    }
}

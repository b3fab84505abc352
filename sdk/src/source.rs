//! The source tree, as frozen for this build. The user grants it as `source`.

use std::fmt;

use crate::BackendError;
pub use crate::bindings::hm::backend::source::TreeInfo;
use crate::platform;

/// Tells how large the tree is, without making an archive of it.
///
/// # Errors
/// The tree could not be read; the text says what and why.
pub async fn measure() -> Result<TreeInfo, Unreadable> {
    platform::measure().await.map_err(Unreadable)
}

/// Begins an archive of the tree: a gzipped tar, the same bytes for the same tree, with
/// names relative to the repository's root.
///
/// As the [body of a request](crate::http::Body) it goes from the host to the server and never
/// through the backend:
///
/// ```no_run
/// # async fn f(service: hm_backend_sdk::http::Client) -> Result<(), hm_backend_sdk::BackendError> {
/// service.put("source.tar.gz").body(hm_backend_sdk::source::archive()).send().await?.ok().await?;
/// # Ok(())
/// # }
/// ```
pub fn archive() -> Archive {
    Archive(platform::archive())
}

/// An archive that is being made.
pub struct Archive(pub(crate) platform::Archive);

impl Archive {
    /// Returns the next piece of the archive, cut anywhere; none at its end. Dropping the
    /// future loses nothing.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        self.0.next().await
    }

    /// Tells what went into the archive, or what went wrong with it. To be asked after the
    /// last piece: pieces that are not read by then are lost.
    ///
    /// # Errors
    /// The archive is not complete; the text says why.
    pub async fn finish(self) -> Result<TreeInfo, Unreadable> {
        self.0.done().await.map_err(Unreadable)
    }

    /// Returns the whole archive and what went into it.
    ///
    /// # Errors
    /// The archive is not complete, or is larger than `limit` bytes.
    pub async fn bytes(mut self, limit: usize) -> Result<(Vec<u8>, TreeInfo), BackendError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await {
            if bytes.len() + chunk.len() > limit {
                return Err(BackendError::SourceTooLarge(crate::SourceSize {
                    observed_bytes: (bytes.len() + chunk.len()) as u64,
                    cap_bytes: limit as u64,
                }));
            }
            bytes.extend(chunk);
        }
        Ok((bytes, self.finish().await?))
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").finish_non_exhaustive()
    }
}

/// The source tree could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read the source: {}", self.0)
    }
}

impl std::error::Error for Unreadable {}

impl From<Unreadable> for BackendError {
    fn from(error: Unreadable) -> Self {
        Self::Other(error.to_string())
    }
}

//! The native interface that every backend has, and that other Rust programs embed.

mod error;
mod handle;
mod keys;
mod request;
mod secrets;

use async_trait::async_trait;

pub use error::{BackendError, Broken, Refused, Result};
pub(crate) use handle::Wish;
pub(crate) use handle::raise;
pub use handle::{BackendHandle, CancelReason, Canceller, Control, EventStream};
pub use keys::{KeyLog, Keys};
pub use request::{Capabilities, RunOptions, RunRequest, SourceMeta};
pub use secrets::Secrets;
pub(crate) use secrets::secret_of;

/// Runs whole builds.
///
/// Two ways of failing are kept apart: what goes wrong before there is a build is an
/// error of [`start`](ExecutionBackend::start); a build that fails is an outcome.
#[async_trait]
pub trait ExecutionBackend: Send + Sync {
    /// Returns the name under which the user chose the backend.
    fn name(&self) -> &str;

    /// Returns what the backend says that it honours.
    fn capabilities(&self) -> Capabilities;

    /// Starts a build. Safe to drop: the build is then ended and cleaned up.
    ///
    /// # Errors
    /// The plan was refused, nothing is there to run it on, or the backend broke before
    /// it had taken the build.
    async fn start(&self, request: RunRequest) -> Result<BackendHandle>;
}

//! The host's wish that a build should stop.

use std::fmt;
use std::future::Future;
use std::pin::pin;

use futures::FutureExt;
use futures::future::{Either, LocalBoxFuture, Shared, select};

use crate::BackendError;
use crate::bindings::hm::backend::control::CancelReason;
use crate::platform;

/// Tells when the host wants the build to stop, and why.
///
/// Cheap to clone; every clone can be asked, also at the same time and after the fact.
#[derive(Clone)]
pub struct Cancellation(Shared<LocalBoxFuture<'static, CancelReason>>);

impl Cancellation {
    pub(crate) fn new() -> Self {
        // One call of the host's for all who wait: the calls in flight are limited.
        Self(platform::cancelled().boxed_local().shared())
    }

    /// Returns when the build is to stop; never, if it is not.
    pub async fn requested(&self) -> CancelReason {
        self.0.clone().await
    }

    /// Does `work` unless the build is to stop. Then `work` is dropped, which ends the
    /// calls that it waits for, and its commands with them.
    ///
    /// ```no_run
    /// # use hm_backend_sdk::{BackendError, Cancellation, clock};
    /// # use std::time::Duration;
    /// # async fn submit() -> Result<(), BackendError> { Ok(()) }
    /// # async fn f(cancellation: Cancellation) -> Result<(), BackendError> {
    /// // By `?` the build ends as cancelled.
    /// cancellation.guard(clock::sleep(Duration::from_secs(600))).await?;
    /// // To do something first:
    /// if let Err(cancelled) = cancellation.guard(submit()).await {
    ///     hm_backend_sdk::log::info(format!("stopping: {:?}", cancelled.reason()));
    ///     return Err(cancelled.into());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The build is to stop.
    pub async fn guard<F: Future>(&self, work: F) -> Result<F::Output, Cancelled> {
        match select(pin!(self.requested()), pin!(work)).await {
            Either::Left((reason, _)) => Err(Cancelled(reason)),
            Either::Right((output, _)) => Ok(output),
        }
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancellation").field(&self.0.peek()).finish()
    }
}

/// The build is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled(CancelReason);

impl Cancelled {
    pub(crate) fn new(reason: CancelReason) -> Self {
        Self(reason)
    }

    /// Returns why.
    pub fn reason(self) -> CancelReason {
        self.0
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            CancelReason::Interrupted => "the build was interrupted",
            CancelReason::TimedOut => "the build timed out",
        })
    }
}

impl std::error::Error for Cancelled {}

/// Whatever a backend answers then, the host's own reason is the build's outcome.
impl From<Cancelled> for BackendError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

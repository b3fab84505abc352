//! The host's wish that a build should stop.

use crate::bindings::hm::backend::control::{self, CancelReason};

/// Tells when the host wants the build to stop, and why.
///
/// Cheap to clone; every clone can be asked, also at the same time and after the fact.
#[derive(Debug, Clone)]
pub struct Cancellation(());

impl Cancellation {
    pub(crate) fn new() -> Self {
        Self(())
    }

    /// Returns when the build is to stop; never, if it is not. Race it with the work:
    ///
    /// ```no_run
    /// # async fn work() {}
    /// # async fn f(cancellation: hm_backend_sdk::Cancellation) {
    /// use std::pin::pin;
    /// use futures::future::{Either, select};
    /// match select(pin!(work()), pin!(cancellation.requested())).await {
    ///     Either::Left(_) => {}
    ///     // Dropping `work` ends the calls that it waits for.
    ///     Either::Right((reason, _)) => hm_backend_sdk::log::info(format!("stopping: {reason:?}")),
    /// }
    /// # }
    /// ```
    pub async fn requested(&self) -> CancelReason {
        control::cancelled().await
    }
}

//! The one trait that an author implements.

use crate::bindings::hm::backend::types::{BackendError, BuildStatus, Description, RunRequest};
use crate::{Cancellation, EventSink};

/// An execution backend: something that takes a whole build and tells how it went.
///
/// One instance serves one build; statics start afresh with each.
#[expect(
    async_fn_in_trait,
    reason = "a component has one thread, so no caller needs the futures to be `Send`"
)]
pub trait Backend: 'static {
    /// Says what this is. Called after the user's consent, with every import answering
    /// "denied": it may not ask anything of the host.
    ///
    /// The name consists of `a-z`, `0-9` and `-`, 64 characters at most; it is for
    /// display and finds no grant.
    fn describe() -> Description;

    /// Judges the request before there is a build: a plan that cannot be run here, no
    /// service to run it on, no login.
    ///
    /// # Errors
    /// What it refuses with is shown to the user, and decides the exit code of `hm`:
    /// [`Rejected`](BackendError::Rejected) for a plan that this backend cannot run.
    async fn check(request: &RunRequest) -> Result<(), BackendError> {
        let _ = request;
        Ok(())
    }

    /// Runs the build to its end and returns the verdict, which must follow from the
    /// steps as `events` told them. The host ends the build with a "broke the protocol"
    /// error where it does not.
    ///
    /// When `cancellation` says so, stop starting steps, drop pending calls and return;
    /// some seconds later the instance is gone.
    ///
    /// # Errors
    /// A build that fails is `Ok(BuildStatus::Failed)`. An error is for a build that
    /// could not be carried out; steps still open are closed as cancelled by the host.
    async fn run(
        request: RunRequest,
        events: EventSink,
        cancellation: Cancellation,
    ) -> Result<BuildStatus, BackendError>;
}

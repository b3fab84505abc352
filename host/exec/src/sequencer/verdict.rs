//! How a build is told to have ended.

use std::time::Duration;

use hm_plugin_protocol::BuildStatus;

use crate::api::{BackendError, CancelReason};

/// The end of a build, ready to be told.
pub(crate) struct Verdict {
    pub(crate) status: BuildStatus,
    /// Of the process.
    pub(crate) exit_code: i32,
    /// Why, where the steps alone do not say it.
    pub(crate) reason: Option<String>,
    /// Why steps that are still open are closed.
    pub(crate) closing: Option<String>,
    /// Taken by a service and not watched.
    pub(crate) is_submitted: bool,
}

impl Verdict {
    /// The backend's own verdict, which was judged.
    pub(crate) fn claimed(status: BuildStatus, is_submitted: bool) -> Self {
        Self {
            status,
            exit_code: status.exit_code(),
            reason: is_submitted.then(|| "submitted and left to run".into()),
            closing: None,
            is_submitted,
        }
    }

    /// The host wanted the build to stop.
    pub(crate) fn cancelled(reason: CancelReason, budget: Duration) -> Self {
        let (status, text) = match reason {
            CancelReason::Interrupted => (
                BuildStatus::Cancelled,
                "the build was interrupted".to_owned(),
            ),
            CancelReason::TimedOut => (
                BuildStatus::TimedOut,
                format!("the build ran longer than its {} s", budget.as_secs_f64()),
            ),
        };
        Self {
            status,
            exit_code: status.exit_code(),
            reason: Some(text.clone()),
            closing: Some(text),
            is_submitted: false,
        }
    }

    /// There is no verdict.
    pub(crate) fn error(error: &BackendError) -> Self {
        let text = error.to_string();
        Self {
            status: BuildStatus::Failed,
            exit_code: error.exit_code(),
            closing: Some(text.clone()),
            reason: Some(text),
            is_submitted: false,
        }
    }
}

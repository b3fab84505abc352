//! How ends are told: statuses, exit codes, reasons.

use hm_backend_sdk::vm::VmError;
use hm_backend_sdk::{BackendError, Plan, StepId};

/// Bytes of a step's key in a sentence; keys have no limit, sentences do.
const MAX_KEY: usize = 200;

/// Why other steps end with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Failed,
    TimedOut,
    CouldNotRun,
    StateLost,
}

/// Returns the step's key for a sentence.
pub(crate) fn key(plan: &Plan, step: StepId) -> String {
    let key = plan
        .steps
        .get(step as usize)
        .map_or("?", |step| step.key.as_str());
    if key.len() <= MAX_KEY {
        return format!("`{key}`");
    }
    format!("`{}…`", &key[..key.floor_char_boundary(MAX_KEY)])
}

/// Returns the clause that tells why steps end with `step`.
pub(crate) fn reason(plan: &Plan, step: StepId, why: Why) -> String {
    let key = key(plan, step);
    match why {
        Why::Failed => format!("{key} failed"),
        Why::TimedOut => format!("{key} timed out"),
        Why::CouldNotRun => format!("{key} could not run"),
        Why::StateLost => format!("what {key} left behind could not be kept"),
    }
}

/// Returns the text of `error`.
pub(crate) fn text(error: &VmError) -> String {
    match error {
        VmError::ImageNotFound(text)
        | VmError::Limit(text)
        | VmError::Gone(text)
        | VmError::Denied(text)
        | VmError::Unavailable(text)
        | VmError::Other(text) => text.clone(),
        VmError::Cancelled => "the build is being cancelled".into(),
    }
}

/// Returns the build's error for a step that could not be run: there is nothing to run
/// it on, unless the user has not granted it.
pub(crate) fn build_error(plan: &Plan, step: StepId, why: Why, error: &VmError) -> BackendError {
    let text = match why {
        Why::StateLost => format!("{}: {}", reason(plan, step, why), text(error)),
        _ => format!("step {}: {}", key(plan, step), text(error)),
    };
    match error {
        VmError::Denied(_) => BackendError::Denied(text),
        _ => BackendError::Unavailable(text),
    }
}

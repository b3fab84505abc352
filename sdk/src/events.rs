//! Short ways to make the records that events are made of.

use crate::bindings::hm::backend::events::{BuildEvent, Level, Notice, StepEnded, StepStarted};
use crate::bindings::hm::backend::types::{BackendError, Step, StepId, StepStatus};
use crate::text::fit;
use crate::vm::ExecStatus;

impl StepStarted {
    /// A step that `runner` (for display: `docker`, a node, a queue) has taken up.
    pub fn new(step: StepId, runner: impl Into<String>) -> Self {
        Self {
            step,
            runner: runner.into(),
            image: None,
        }
    }

    /// Says which image it runs in; it must be the plan's.
    pub fn image(mut self, image: Option<String>) -> Self {
        self.image = image;
        self
    }
}

impl StepEnded {
    /// The end of a step, without exit code, duration and detail.
    pub fn new(step: StepId, status: StepStatus) -> Self {
        Self {
            step,
            status,
            exit_code: None,
            duration_ms: None,
            detail: None,
        }
    }

    /// Says what its command exited with; a signal is 128 and its number.
    pub fn exit_code(mut self, code: i32) -> Self {
        self.exit_code = Some(code);
        self
    }

    /// Says how many milliseconds it took, as the service measured it.
    pub fn duration_ms(mut self, duration: u64) -> Self {
        self.duration_ms = Some(duration);
        self
    }

    /// Says why, where the status alone does not.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

impl StepEnded {
    /// The step, whose command ended with `status`: passed for 0, timed out for a command
    /// whose time was over, failed for anything else, with the exit code and the reason.
    pub fn of(index: StepId, step: &Step, status: ExecStatus) -> Self {
        let failed = Self::new(index, StepStatus::Failed).exit_code(status.code());
        match status {
            ExecStatus::Exited(0) => Self::new(index, StepStatus::Passed).exit_code(0),
            ExecStatus::Exited(_) => failed,
            ExecStatus::Signaled(signal) => failed.detail(format!("killed by signal {signal}")),
            ExecStatus::OutOfMemory => failed.detail("out of memory"),
            ExecStatus::TimedOut => {
                let ended = Self::new(index, StepStatus::TimedOut).exit_code(status.code());
                match step.timeout_ms {
                    Some(ms) if ms % 1000 == 0 => {
                        ended.detail(format!("over its timeout of {} s", ms / 1000))
                    }
                    Some(ms) => ended.detail(format!("over its timeout of {ms} ms")),
                    None => ended,
                }
            }
        }
    }
}

impl Notice {
    /// A notice about the build.
    pub fn new(level: Level, message: impl Into<String>) -> Self {
        Self {
            step: None,
            level,
            message: message.into(),
        }
    }

    /// Ties it to a step.
    pub fn about(mut self, step: StepId) -> Self {
        self.step = Some(step);
        self
    }
}

/// Cuts the texts of an event to what the host takes.
pub(crate) fn fit_event(event: &mut BuildEvent) {
    match event {
        BuildEvent::StepEnded(ended) => ended.detail = ended.detail.take().map(fit),
        BuildEvent::Notice(notice) => notice.message = fit(std::mem::take(&mut notice.message)),
        _ => {}
    }
}

/// Returns `error` with its text cut to what the host takes.
pub(crate) fn fit_error(error: BackendError) -> BackendError {
    use BackendError as E;
    match error {
        E::Rejected(mut rejection) => {
            rejection.message = fit(rejection.message);
            E::Rejected(rejection)
        }
        E::Unauthorized(text) => E::Unauthorized(fit(text)),
        E::NotFound(text) => E::NotFound(fit(text)),
        E::Unavailable(text) => E::Unavailable(fit(text)),
        E::Transport(text) => E::Transport(fit(text)),
        E::LogStream(text) => E::LogStream(fit(text)),
        E::Denied(text) => E::Denied(fit(text)),
        E::Other(text) => E::Other(fit(text)),
        E::SourceTooLarge(_) | E::Cancelled => error,
    }
}

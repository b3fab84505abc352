//! How one step ended, in words.

use hm_plugin_protocol::{BuildStatus, StepStatus};

use crate::state::StepState;
use crate::text::line::{Line, Look, Style};
use crate::text::words;

/// Returns the sign of a status. Words always stand beside it.
pub(crate) fn mark(status: StepStatus, look: Look) -> (Style, &'static str) {
    match status {
        StepStatus::Passed => (Style::Good, look.either("✓", "+")),
        StepStatus::Failed => (Style::Bad, look.either("✗", "x")),
        StepStatus::Skipped => (Style::Dim, look.either("–", "-")),
        StepStatus::Cancelled => (Style::Warn, look.either("⊘", "/")),
        StepStatus::CacheHit => (Style::Note, look.either("↺", "=")),
        StepStatus::TimedOut => (Style::Bad, look.either("⏱", "!")),
    }
}

/// Returns the sign of a verdict.
pub(crate) fn build_mark(status: BuildStatus, look: Look) -> (Style, &'static str) {
    let step = match status {
        BuildStatus::Passed => StepStatus::Passed,
        BuildStatus::Failed => StepStatus::Failed,
        BuildStatus::Cancelled => StepStatus::Cancelled,
        BuildStatus::TimedOut => StepStatus::TimedOut,
    };
    mark(step, look)
}

/// Returns what is to say of an ended step: `failed: exit 2 after 1.5s`.
pub(crate) fn words(step: &StepState, backend: &str) -> String {
    let Some(status) = step.status() else {
        return "not ended".into();
    };
    let time = words::duration(step.duration_ms);
    let mut text = match status {
        StepStatus::Passed => format!("passed in {time}"),
        StepStatus::CacheHit => "cached".into(),
        StepStatus::Skipped => "skipped".into(),
        StepStatus::Cancelled if step.started.is_none() => "cancelled before it started".into(),
        StepStatus::Cancelled => format!("cancelled after {time}"),
        StepStatus::TimedOut => format!("timed out after {time}"),
        StepStatus::Failed => match step.exit_code {
            Some(code) => format!("failed: {} after {time}", words::exit_code(code)),
            None => format!("failed after {time}"),
        },
    };
    if is_reported(step) {
        text += &format!(" (reported by {backend})");
    }
    if let Some(reason) = &step.reason {
        text += &format!(": {reason}");
    }
    text
}

/// Returns true for a pass that nobody here has seen. Other ends need no such mark: a
/// step that fails unseen says why, a machine that could not be had for one.
pub(crate) fn is_reported(step: &StepState) -> bool {
    !step.observed && step.status() == Some(StepStatus::Passed)
}

/// Returns the line that stays of an ended step.
pub(crate) fn line(step: &StepState, backend: &str, look: Look) -> Line {
    let mut line = Line::endless(look);
    if let Some(status) = step.status() {
        let (style, sign) = mark(status, look);
        line.push(style, sign).push(Style::Plain, " ");
    }
    line.push(Style::Bold, &step.key);
    if let Some(title) = &step.title {
        line.push(Style::Dim, &format!(" ({title})"));
    }
    line.push(Style::Plain, &format!("  {}", words(step, backend)));
    line
}

//! One JSON object: the verdict, and every step.

use hm_plugin_protocol::{BuildStatus, StepId, StepStatus};
use jiff::Timestamp;
use serde::Serialize;

use super::Report;

/// Of the object's form; a field that is added does not change it.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    pipeline: &'a str,
    backend: &'a str,
    /// None for a build that has no verdict.
    status: Option<BuildStatus>,
    exit_code: Option<i32>,
    reason: Option<&'a str>,
    started_at: Option<Timestamp>,
    duration_ms: Option<u64>,
    watch_url: Option<&'a str>,
    steps: Vec<Step<'a>>,
    /// Keys of the steps that took the build's time, in order.
    critical_path: Vec<&'a str>,
}

#[derive(Serialize)]
struct Step<'a> {
    key: &'a str,
    title: Option<&'a str>,
    /// Key of the step whose machine it went on in.
    parent: Option<&'a str>,
    status: Option<StepStatus>,
    exit_code: Option<i32>,
    reason: Option<&'a str>,
    started_at: Option<Timestamp>,
    duration_ms: u64,
    /// Whether hm itself saw it end.
    observed: bool,
    lines: u64,
    /// The end of its output, where it did not pass.
    output: Option<&'a str>,
}

/// Returns the object, for people too: on several lines.
pub(super) fn write(report: &Report) -> String {
    let state = &report.state;
    let verdict = state.verdict.as_ref();
    let key = |step: StepId| state.step(step).map(|step| step.key.as_str());
    let steps = report.steps().map(|(id, step)| Step {
        key: &step.key,
        title: step.title.as_deref(),
        parent: step.parent.and_then(key),
        status: step.status(),
        exit_code: step.exit_code,
        reason: step.reason.as_deref(),
        started_at: step.started,
        duration_ms: step.duration_ms,
        observed: step.observed,
        lines: step.lines,
        output: report.output(id).map(|(text, _)| text),
    });
    let document = Document {
        version: VERSION,
        pipeline: &state.pipeline,
        backend: &report.backend,
        status: verdict.map(|verdict| verdict.status),
        exit_code: verdict.map(|verdict| verdict.exit_code),
        reason: verdict.and_then(|verdict| verdict.reason.as_deref()),
        started_at: state.started_at,
        duration_ms: verdict.map(|verdict| verdict.duration_ms),
        watch_url: state.watch_url.as_deref(),
        steps: steps.collect(),
        critical_path: report.critical_path().into_iter().filter_map(key).collect(),
    };
    // It fails for maps with keys that are no texts, and there are none.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

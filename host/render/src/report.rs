//! What a build came to, as a file: JUnit's XML, one page of HTML, or JSON.
//!
//! A report is collected from the same events as every format. Of the output it keeps the end
//! of what did not pass, and no more than a bounded amount in all.

mod html;
mod json;
mod junit;

use std::collections::HashMap;

use hm_plugin_protocol::{BuildEvent, LogLines, Plan, PlanGraph, StepId, StepStatus};

use crate::clean_line;
use crate::state::{State, StepState};
use crate::text::sgr;

/// Bytes of a step's output that are kept, its last.
const LOG_MAX: usize = 64 << 10;

/// Bytes of output that are kept of all steps that have ended.
const LOGS_MAX: usize = 16 << 20;

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// A step is a test case, the pipeline the suite.
    Junit,
    /// One file, without scripts and without anything to fetch.
    Html,
    /// One object.
    Json,
}

/// Collects a build for reports.
#[derive(Debug)]
pub struct Report {
    state: State,
    graph: PlanGraph,
    commands: Vec<String>,
    backend: String,
    logs: HashMap<StepId, Log>,
    /// Bytes of the logs of steps that have ended.
    kept: usize,
}

/// The end of a step's output, without colours.
#[derive(Debug, Default)]
struct Log {
    text: String,
    is_cut: bool,
}

impl Log {
    fn push(&mut self, text: &str) {
        self.text += &sgr::stripped(text);
        // Twice as much is let in, so that the rest is moved seldom.
        if self.text.len() > 2 * LOG_MAX {
            self.cut(LOG_MAX);
        }
    }

    /// Keeps whole lines of the last `bytes`; of a longer line its end.
    fn cut(&mut self, bytes: usize) {
        let Some(least) = self
            .text
            .len()
            .checked_sub(bytes)
            .filter(|&least| least > 0)
        else {
            return;
        };
        let from = self.text.ceil_char_boundary(least);
        let rest = &self.text[from..];
        let line = rest.find('\n').map_or(from, |end| from + end + 1);
        let from = if line < self.text.len() { line } else { from };
        self.text.drain(..from);
        self.is_cut = true;
    }
}

impl Report {
    /// Makes a report of a build of `plan` by the backend of this name, before its first event.
    pub fn new(plan: &Plan, backend: &str) -> Self {
        Self {
            state: State::new(plan),
            graph: PlanGraph::new(plan),
            commands: plan.steps.iter().map(|step| step.command.clone()).collect(),
            backend: clean_line(backend).into_owned(),
            logs: HashMap::new(),
            kept: 0,
        }
    }

    /// Takes the next event.
    pub fn event(&mut self, event: &BuildEvent) {
        self.state.apply(event);
        match event {
            BuildEvent::StepLog(lines) => self.log(lines),
            BuildEvent::StepEnd { step, status, .. } => self.end(*step, *status),
            _ => {}
        }
    }

    fn log(&mut self, lines: &LogLines) {
        if self.state.step(lines.step).is_none() {
            return;
        }
        let log = self.logs.entry(lines.step).or_default();
        let text = lines.text();
        // The line end of a piece belongs to the batch, not to the line.
        let piece = text.strip_suffix('\n').filter(|_| lines.partial);
        log.push(piece.unwrap_or(text));
    }

    fn end(&mut self, step: StepId, status: StepStatus) {
        if status.is_success() {
            self.logs.remove(&step);
            return;
        }
        let room = LOGS_MAX.saturating_sub(self.kept);
        if let Some(log) = self.logs.get_mut(&step) {
            log.cut(LOG_MAX.min(room));
            log.text.shrink_to_fit();
            self.kept += log.text.len();
        }
    }

    /// Returns the report's text, as far as the build has come.
    pub fn write(&self, format: ReportFormat) -> String {
        match format {
            ReportFormat::Junit => junit::write(self),
            ReportFormat::Html => html::write(self),
            ReportFormat::Json => json::write(self),
        }
    }

    /// Returns the end of a step's output, and whether there was more before it.
    fn output(&self, step: StepId) -> Option<(&str, bool)> {
        let log = self.logs.get(&step)?;
        (!log.text.is_empty()).then_some((&log.text, log.is_cut))
    }

    fn steps(&self) -> impl Iterator<Item = (StepId, &StepState)> {
        (0..).zip(self.state.steps())
    }

    /// Returns the steps that took the build's time, in order.
    fn critical_path(&self) -> Vec<StepId> {
        let cost = |step: StepId| self.state.step(step).map_or(0, |step| step.duration_ms);
        let path = self.graph.critical_path(cost).into_iter();
        path.filter(|&step| cost(step) > 0).collect()
    }
}

/// Returns how a step ended, in one line.
fn ending(step: &StepState) -> String {
    let mut text = match (step.status(), step.exit_code) {
        (Some(StepStatus::Failed), Some(code)) => crate::text::words::exit_code(code).into_owned(),
        (status, _) => status
            .map_or("not ended", crate::text::words::status)
            .to_owned(),
    };
    if let Some(reason) = &step.reason {
        text += &format!(": {reason}");
    }
    text
}

//! A build as far as its events have told: no clock, no terminal, no output.

mod step;

use std::fmt;

use hm_plugin_protocol::{
    BuildEvent, BuildRef, BuildStatus, EdgeKind, LogLines, Plan, StepId, StepStatus,
};
use jiff::Timestamp;

pub use step::{Phase, StepState, last_segment};

use crate::text::words;

/// What the events so far add up to.
#[derive(Debug)]
pub struct State {
    /// The pipeline's slug.
    pub pipeline: String,
    /// Which build it is, where a service took it.
    pub build: Option<BuildRef>,
    /// Where a person can watch it.
    pub watch_url: Option<String>,
    /// When the backend was started.
    pub started_at: Option<Timestamp>,
    /// How it ended.
    pub verdict: Option<Verdict>,
    steps: Vec<StepState>,
    /// In the order in which they started.
    running: Vec<StepId>,
    ended: usize,
    failed: usize,
}

/// How the build ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Of the `hm` process.
    pub exit_code: i32,
    /// From start to end.
    pub duration_ms: u64,
    /// The verdict itself.
    pub status: BuildStatus,
    /// Why, where the steps alone do not say it.
    pub reason: Option<String>,
}

impl State {
    /// Makes the state before the first event.
    pub fn new(plan: &Plan) -> Self {
        let mut steps: Vec<StepState> = plan.steps.iter().map(StepState::new).collect();
        for edge in &plan.edges {
            if edge.kind == EdgeKind::BuildsIn
                && let Some(step) = steps.get_mut(edge.after as usize)
            {
                step.parent = Some(edge.before);
            }
        }
        Self {
            pipeline: crate::clean_line(&plan.pipeline).into_owned(),
            build: None,
            watch_url: None,
            started_at: None,
            verdict: None,
            steps,
            running: Vec::new(),
            ended: 0,
            failed: 0,
        }
    }

    /// Returns true if a service took the build and it was left to run: only then does a
    /// build pass whose steps have not ended.
    pub fn is_submitted(&self) -> bool {
        let has_passed = |verdict: &Verdict| verdict.status == BuildStatus::Passed;
        let is_left = self.build.is_some() && self.ended < self.steps.len();
        is_left && self.verdict.as_ref().is_some_and(has_passed)
    }

    /// Folds one event in. An event about a step outside of the plan changes nothing.
    pub fn apply(&mut self, event: &BuildEvent) {
        match event {
            BuildEvent::BuildStart { started_at, .. } => self.started_at = Some(*started_at),
            BuildEvent::BuildAccepted { build, watch_url } => {
                self.build = Some(build.clone());
                self.watch_url.clone_from(watch_url);
            }
            BuildEvent::StepQueued { step, .. } => {
                if let Some(step) = self.step_mut(*step) {
                    step.phase = Phase::Queued;
                }
            }
            BuildEvent::StepStart {
                step, runner, ts, ..
            } => self.start(*step, runner, *ts),
            BuildEvent::StepLog(lines) => self.log(lines),
            BuildEvent::StepCacheHit { .. }
            | BuildEvent::ChainFailed { .. }
            | BuildEvent::Custom { .. } => {}
            BuildEvent::StepEnd { .. } => self.end(event),
            BuildEvent::Notice {
                step: Some(step),
                message,
                ..
            } => {
                if let Some(step) = self.step_mut(*step) {
                    step.notices += 1;
                    step.remember(message);
                }
            }
            BuildEvent::Notice { step: None, .. } => {}
            BuildEvent::BuildEnd {
                exit_code,
                duration_ms,
                status,
                reason,
            } => {
                self.verdict = Some(Verdict {
                    exit_code: *exit_code,
                    duration_ms: *duration_ms,
                    status: *status,
                    reason: reason.clone(),
                });
            }
        }
    }

    fn step_mut(&mut self, step: StepId) -> Option<&mut StepState> {
        self.steps.get_mut(step as usize)
    }

    fn start(&mut self, id: StepId, runner: &str, ts: Timestamp) {
        let Some(step) = self.steps.get_mut(id as usize) else {
            return;
        };
        if step.phase != Phase::Running {
            self.running.push(id);
        }
        step.phase = Phase::Running;
        step.runner = Some(crate::clean_line(runner).into_owned());
        step.started = Some(ts);
    }

    fn log(&mut self, lines: &LogLines) {
        let Some(step) = self.step_mut(lines.step) else {
            return;
        };
        step.lines += memchr::memchr_iter(b'\n', lines.text().as_bytes()).count() as u64;
        if lines.partial {
            step.lines -= 1;
        }
        step.remember(lines.text());
    }

    fn end(&mut self, event: &BuildEvent) {
        let BuildEvent::StepEnd {
            step: id,
            exit_code,
            duration_ms,
            status,
            reason,
            observed,
            ..
        } = event
        else {
            return;
        };
        let Some(step) = self.steps.get_mut(*id as usize) else {
            return;
        };
        if matches!(step.phase, Phase::Ended(_)) {
            return;
        }
        if step.phase == Phase::Running {
            self.running.retain(|running| running != id);
        }
        step.phase = Phase::Ended(*status);
        step.exit_code = *exit_code;
        step.duration_ms = *duration_ms;
        step.reason = reason
            .as_deref()
            .map(|reason| crate::clean_line(reason).into_owned());
        step.observed = *observed;
        self.ended += 1;
        if is_blamed(*status) {
            self.failed += 1;
        }
    }

    /// Returns a step of the plan.
    pub fn step(&self, step: StepId) -> Option<&StepState> {
        self.steps.get(step as usize)
    }

    /// Returns all steps, in plan order.
    pub fn steps(&self) -> &[StepState] {
        &self.steps
    }

    /// Returns the running steps, longest first.
    pub fn running(&self) -> &[StepId] {
        &self.running
    }

    /// Returns how many steps have ended, in whatever way.
    pub fn ended(&self) -> usize {
        self.ended
    }

    /// Returns how many steps failed or timed out.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Returns the steps that failed or timed out, in plan order.
    pub fn blamed(&self) -> Vec<StepId> {
        (0..self.steps.len() as StepId)
            .filter(|&step| self.steps[step as usize].status().is_some_and(is_blamed))
            .collect()
    }

    /// Returns how many steps ended in which way.
    pub fn counts_by_status(&self) -> Counts {
        let mut counts = Counts::default();
        for status in self.steps.iter().filter_map(StepState::status) {
            counts.0[status as usize] += 1;
        }
        counts
    }
}

/// Returns true for an end that makes the build fail.
fn is_blamed(status: StepStatus) -> bool {
    matches!(status, StepStatus::Failed | StepStatus::TimedOut)
}

/// How many steps ended in which way; displays as `3 passed, 1 failed`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([usize; 6]);

impl Counts {
    /// In the order in which a person wants to read them.
    const ORDER: [StepStatus; 6] = [
        StepStatus::Failed,
        StepStatus::TimedOut,
        StepStatus::Passed,
        StepStatus::CacheHit,
        StepStatus::Cancelled,
        StepStatus::Skipped,
    ];

    /// Returns how many steps ended with `status`.
    pub fn of(&self, status: StepStatus) -> usize {
        self.0[status as usize]
    }

    /// Returns true if no step has ended.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&count| count == 0)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for status in Self::ORDER
            .into_iter()
            .filter(|&status| self.of(status) > 0)
        {
            let comma = if first { "" } else { ", " };
            write!(f, "{comma}{} {}", self.of(status), words::status(status))?;
            first = false;
        }
        Ok(())
    }
}

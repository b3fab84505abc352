//! What has happened in a build so far: the order table and what the host saw.
//!
//! Every guest event passes through here when it arrives, before it is queued, and every
//! `run` of a machine is noted here when it begins and ends. So what a guest claims is
//! always held against what was observed before the claim.
//!
//! Locked for short moments only, never across an await.

mod events;
mod runs;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hm_plugin_protocol::{
    BuildEvent, BuildStatus, Chains, Plan, PlanGraph, PlanSummary, StepId, StepResultSummary,
    StepStatus,
};
use jiff::Timestamp;
use tokio::sync::Notify;
use uuid::Uuid;

pub(crate) use runs::{Observed, RunRefused};

use super::stream::{Entry, step_id};
use super::verdict::Verdict;
use crate::component::{LimitHit, Limits};

/// A step may be run again from its own base this many times.
pub(crate) const ATTEMPTS_MAX: u32 = 10;

/// The guest did what the order table or the verdict rule forbids; says what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Violation(pub(crate) String);

/// Why an event is not taken, and the build ends with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It may not come, or not now.
    Violation(Violation),
    /// It is one too many.
    Limit(LimitHit),
}

impl From<Violation> for Fault {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<Fault> for wasmtime::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Violation(violation) => violation.into(),
            Fault::Limit(hit) => hit.into(),
        }
    }
}

impl Violation {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Where a step is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Unseen,
    Queued,
    Running,
    Hit,
    Done,
}

/// One step, as far as it got.
struct StepState {
    /// Kept: it is a hash, and each of the step's events bears it.
    id: Uuid,
    phase: Phase,
    status: Option<StepStatus>,
    exit_code: Option<i32>,
    reason: Option<String>,
    started: Option<Instant>,
    duration: Duration,
    attempts: u32,
    /// Its command runs, and ends when this is notified: another attempt begins only when this
    /// one has shown how it ends.
    running: Option<Arc<Notify>>,
    observed: Option<Observed>,
    /// What ran out in the observed run, which the host knows better than any backend.
    cause: Option<String>,
    /// Commands whose output is still being read.
    draining: u32,
    /// The end, held until the output is drained.
    held_end: Option<Vec<BuildEvent>>,
    /// The host's own cache answered with this key and snapshot.
    hit: Option<(String, String)>,
    snapshot: Option<String>,
}

impl StepState {
    fn new(id: Uuid) -> Self {
        Self {
            id,
            phase: Phase::Unseen,
            status: None,
            exit_code: None,
            reason: None,
            started: None,
            duration: Duration::ZERO,
            attempts: 0,
            running: None,
            observed: None,
            cause: None,
            draining: 0,
            held_end: None,
            hit: None,
            snapshot: None,
        }
    }
}

/// What a build is, before anything has happened in it.
pub(crate) struct Setting {
    /// Of this run.
    pub(crate) run_id: Uuid,
    /// What to run.
    pub(crate) plan: Arc<Plan>,
    /// Its adjacency.
    pub(crate) graph: Arc<PlanGraph>,
    /// The work runs elsewhere; its steps are reported, not observed.
    pub(crate) is_observer: bool,
    /// False: submit and return.
    pub(crate) watch: bool,
    /// What the events of the whole build may amount to.
    pub(crate) limits: Limits,
}

/// The state machine of a build.
pub(crate) struct Ledger {
    setting: Setting,
    chains: Chains,
    /// The step from which each step's lineage starts.
    roots: Vec<StepId>,
    steps: Vec<StepState>,
    is_open: bool,
    is_closed: bool,
    accepted: Option<hm_plugin_protocol::BuildRef>,
    watch_url: Option<String>,
    free_events: u64,
    output_bytes: u64,
    started_at: Timestamp,
    started: Instant,
}

impl Ledger {
    pub(crate) fn new(setting: Setting) -> Self {
        let chains = setting.graph.chains(&setting.plan);
        let steps = (0..setting.plan.steps.len() as StepId)
            .map(|step| StepState::new(step_id(setting.run_id, step)))
            .collect();
        let mut roots: Vec<StepId> = (0..setting.graph.len() as StepId).collect();
        for step in setting.graph.order() {
            if let Some(parent) = setting.graph.parent(step) {
                roots[step as usize] = roots[parent as usize];
            }
        }
        Self {
            setting,
            chains,
            roots,
            steps,
            is_open: false,
            is_closed: false,
            accepted: None,
            watch_url: None,
            free_events: 0,
            output_bytes: 0,
            started_at: Timestamp::now(),
            started: Instant::now(),
        }
    }

    /// Notes that the backend's steps are reported and not observed.
    pub(crate) fn observe_only(&mut self, is_observer: bool) {
        self.setting.is_observer = is_observer;
    }

    /// Returns true if the build is waited for.
    pub(crate) fn is_watched(&self) -> bool {
        self.setting.watch
    }

    fn step_id(&self, step: StepId) -> Uuid {
        self.steps
            .get(step as usize)
            .map_or_else(|| step_id(self.setting.run_id, step), |state| state.id)
    }

    /// Returns the step's number and key, for messages.
    fn name(&self, step: StepId) -> String {
        let key = &self.setting.plan.steps[step as usize].key;
        format!("step {step} (`{}`)", super::clean::one_line(key))
    }

    /// Returns the state of a step that the guest named.
    fn get(&mut self, what: &str, step: StepId) -> Result<&mut StepState, Violation> {
        let count = self.steps.len();
        self.steps
            .get_mut(step as usize)
            .ok_or_else(|| Violation(format!("{what} for step {step}, and the plan has {count}")))
    }

    /// Opens the build: the first event that anybody sees.
    fn open(&mut self, out: &mut Vec<Entry>) {
        if self.is_open {
            return;
        }
        self.is_open = true;
        out.push(Entry::Event(BuildEvent::BuildStart {
            run_id: self.setting.run_id,
            plan: PlanSummary {
                step_count: self.steps.len(),
                chain_count: self.chains.count,
                default_runner: "vm".into(),
            },
            started_at: self.started_at,
        }));
    }

    /// Closes whatever is open, each step as cancelled, and tells how the build ended.
    ///
    /// Called once, when the guest is gone and every command's output has been read.
    pub(crate) fn close(&mut self, verdict: &Verdict) -> Vec<Entry> {
        let mut out = Vec::new();
        self.open(&mut out);
        self.is_closed = true;
        let is_submitted = verdict.is_submitted;
        for step in 0..self.steps.len() as StepId {
            if let Some(events) = self.steps[step as usize].held_end.take() {
                out.push(Entry::End { step, events });
            }
            if self.steps[step as usize].phase != Phase::Done && !is_submitted {
                self.cancel(step, verdict.closing.as_deref(), &mut out);
            }
        }
        out.push(Entry::Event(BuildEvent::BuildEnd {
            exit_code: verdict.exit_code,
            duration_ms: self.started.elapsed().as_millis() as u64,
            status: verdict.status,
            reason: verdict.reason.clone(),
        }));
        out
    }

    fn cancel(&mut self, step: StepId, reason: Option<&str>, out: &mut Vec<Entry>) {
        if self.steps[step as usize].phase == Phase::Unseen {
            self.queue(step, out);
        }
        let state = &mut self.steps[step as usize];
        state.reason = reason.map(str::to_owned);
        self.end(step, StepStatus::Cancelled, None, None, out);
    }

    /// Returns how each step ended, in plan order.
    pub(crate) fn results(&self) -> Vec<StepResultSummary> {
        let plan = self.setting.plan.clone();
        self.steps
            .iter()
            .zip(&plan.steps)
            .enumerate()
            .map(|(index, (state, step))| StepResultSummary {
                step_id: self.step_id(index as StepId),
                key: step.key.clone(),
                status: state.status.unwrap_or(StepStatus::Skipped),
                exit_code: state.exit_code,
                duration_ms: state.duration.as_millis() as u64,
                observed: state.observed.is_some(),
            })
            .collect()
    }

    /// Returns which build this is.
    pub(crate) fn build(&self) -> hm_plugin_protocol::BuildRef {
        self.accepted
            .clone()
            .unwrap_or_else(|| hm_plugin_protocol::BuildRef {
                run_id: self.setting.run_id,
                number: None,
                org: None,
                pipeline: self.setting.plan.pipeline.clone(),
            })
    }

    /// Returns where a person can watch the build.
    pub(crate) fn watch_url(&self) -> Option<String> {
        self.watch_url.clone()
    }

    /// Returns how many notices and custom events have come.
    pub(crate) fn free_events(&self) -> u64 {
        self.free_events
    }

    /// Returns when the build was started.
    pub(crate) fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Holds the guest's verdict against the steps (reference `sandbox`, section 8).
    pub(crate) fn judge(&self, claimed: BuildStatus) -> Result<(), Violation> {
        use StepStatus::{CacheHit, Cancelled, Failed, Passed, Skipped, TimedOut};
        let any = |wanted: &[StepStatus]| {
            self.steps
                .iter()
                .any(|s| s.status.is_some_and(|s| wanted.contains(&s)))
        };
        let is_submitted = self.is_submitted();
        let unfinished = self.steps.iter().position(|state| {
            let is_good = match state.status {
                Some(Passed | CacheHit) => true,
                Some(Skipped) => self.setting.is_observer && state.reason.is_some(),
                _ => false,
            };
            !is_good
        });
        let is_right = match claimed {
            BuildStatus::Passed => is_submitted || unfinished.is_none(),
            BuildStatus::Failed => any(&[Failed, TimedOut]),
            BuildStatus::Cancelled => any(&[Cancelled]),
            BuildStatus::TimedOut => any(&[TimedOut, Cancelled]),
        };
        if is_right {
            return Ok(());
        }
        Err(Violation(match (claimed, unfinished) {
            (BuildStatus::Passed, Some(step)) => format!(
                "the outcome is passed, but {} {}",
                self.name(step as StepId),
                match self.steps[step].status {
                    Some(status) => format!("ended as {}", status.as_str()),
                    None => "never ended".into(),
                }
            ),
            (claimed, _) => format!("the outcome is {}, but no step ended so", claimed.as_str()),
        }))
    }

    /// True if every step of the plan has ended.
    pub(crate) fn is_all_done(&self) -> bool {
        self.steps.iter().all(|state| state.phase == Phase::Done)
    }

    /// True if a service took the build and nobody wants to watch it.
    pub(crate) fn is_submitted(&self) -> bool {
        self.accepted.is_some() && !self.setting.watch
    }
}

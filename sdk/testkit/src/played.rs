//! What came of a simulated build.

use std::fmt::Write;
use std::time::Duration;

use hm_backend_sdk::world::Severity;
use hm_backend_sdk::{
    BackendError, BuildEvent, BuildStatus, CancelReason, LogChannel, StepEnded, StepId, StepStatus,
};

use crate::check::{build_word, word};
use crate::world::Host;
use crate::{Pipeline, ServerRequest};

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With this verdict, which follows from the steps.
    Ended(BuildStatus),
    /// With an error instead of a verdict.
    Error(BackendError),
    /// Refused before it began.
    Refused(BackendError),
    /// As the host wanted it to.
    Cancelled(CancelReason),
    /// It was to stop and did not, and was ended ten seconds later.
    Killed,
    /// The backend broke a rule; `hm` would end the build with this.
    Broken(String),
}

/// A build, from its first event to its end.
#[derive(Debug)]
pub struct Played {
    /// How it ended.
    pub outcome: Outcome,
    /// What the backend told, and when.
    pub events: Vec<(Duration, BuildEvent)>,
    /// What it logged.
    pub log: Vec<(Severity, String)>,
    /// What it asked of servers.
    pub requests: Vec<ServerRequest>,
    /// How long it took, in simulated time.
    pub took: Duration,
    /// Calls that it made to its host.
    pub calls: u64,
    /// Machines that were booted.
    pub boots: usize,
    /// Machines that were frozen.
    pub freezes: usize,
    /// Commands that ran at one time, at most.
    pub most_running: usize,
    /// Machines that were held at one time, at most.
    pub most_held: usize,
    /// Machines and snapshots that are still held.
    pub leaked: usize,
    stored: Vec<StepId>,
    attempts: Vec<u32>,
    pipeline: Pipeline,
}

impl Played {
    pub(crate) fn new(host: &Host, pipeline: Pipeline, outcome: Outcome) -> Self {
        let machines = host.machines.borrow();
        let rules = host.rules.borrow();
        let steps = 0..pipeline.plan().steps.len() as StepId;
        Self {
            outcome,
            events: host.events.take(),
            log: host.log.take(),
            requests: host.requests.take(),
            took: Duration::from_nanos(host.clock.now()),
            calls: host.calls.get(),
            boots: machines.boots,
            freezes: machines.freezes,
            most_running: machines.most_running,
            most_held: machines.most_held,
            leaked: machines.live.len() + machines.snapshots.len(),
            stored: machines.stored.clone(),
            attempts: steps.map(|step| rules.attempts(step)).collect(),
            pipeline,
        }
    }

    /// Returns the verdict.
    ///
    /// # Panics
    /// If there is none; says what there is.
    #[track_caller]
    pub fn status(&self) -> BuildStatus {
        match &self.outcome {
            Outcome::Ended(status) => *status,
            other => panic!("no verdict but {other:?}\n{}", self.timeline()),
        }
    }

    /// Returns true if the build was to stop before it ended.
    pub fn was_cancelled(&self) -> bool {
        matches!(self.outcome, Outcome::Cancelled(_) | Outcome::Killed)
    }

    /// Returns how a step ended; none if it did not.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn step(&self, key: &str) -> Option<&StepEnded> {
        let index = self.pipeline.index(key);
        self.events.iter().find_map(|(_, event)| match event {
            BuildEvent::StepEnded(ended) if ended.step == index => Some(ended),
            _ => None,
        })
    }

    /// Returns how each step ended, by index; none for those that did not.
    pub fn statuses(&self) -> Vec<Option<StepStatus>> {
        let steps = &self.pipeline.plan().steps;
        let status = |step: &hm_backend_sdk::Step| self.step(&step.key).map(|ended| ended.status);
        steps.iter().map(status).collect()
    }

    /// Returns how often a step's command was run.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn attempts(&self, key: &str) -> u32 {
        self.attempts[self.pipeline.index(key) as usize]
    }

    /// Returns true if the cache was given what a step left behind.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn is_stored(&self, key: &str) -> bool {
        self.stored.contains(&self.pipeline.index(key))
    }

    /// Returns what a step printed, as the backend sent it.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn output(&self, key: &str) -> String {
        let index = self.pipeline.index(key);
        let mut bytes = Vec::new();
        for (_, event) in &self.events {
            if let BuildEvent::StepOutput(output) = event
                && output.step == index
            {
                bytes.extend_from_slice(&output.data);
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns the build as text: a line an event, and how it ended. Made for snapshots.
    pub fn timeline(&self) -> String {
        let steps = &self.pipeline.plan().steps;
        let width = steps.iter().map(|step| step.key.chars().count()).max();
        let width = width.unwrap_or(0);
        let mut text = String::new();
        for (at, event) in &self.events {
            let (step, what) = told(event);
            let key = step.and_then(|step| steps.get(step as usize));
            let key = key.map_or("", |step| step.key.as_str());
            let line = format!("{:>6}  {key:width$}  {what}", seconds(*at));
            let _ = writeln!(text, "{}", line.trim_end());
        }
        let _ = writeln!(text, "{:>6}  {}", seconds(self.took), ended(&self.outcome));
        text
    }
}

/// Returns a moment in seconds, as short as it can be.
fn seconds(at: Duration) -> String {
    let text = format!("{:.3}", at.as_secs_f64());
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}s")
}

fn told(event: &BuildEvent) -> (Option<StepId>, String) {
    match event {
        BuildEvent::Accepted(accepted) => {
            let mut text = format!("accepted for {}", accepted.pipeline);
            if let Some(number) = accepted.number {
                let _ = write!(text, " as number {number}");
            }
            if let Some(url) = &accepted.watch_url {
                let _ = write!(text, ", to be watched at {url}");
            }
            (None, text)
        }
        BuildEvent::StepQueued(step) => (Some(*step), "queued".into()),
        BuildEvent::StepStarted(started) => {
            let image = started.image.as_ref();
            let image = image.map_or(String::new(), |image| format!(" ({image})"));
            let text = format!("started on {}{image}", started.runner);
            (Some(started.step), text)
        }
        BuildEvent::StepOutput(output) => {
            let channel = match output.channel {
                LogChannel::Stdout => '|',
                LogChannel::Stderr => '!',
            };
            let text = String::from_utf8_lossy(&output.data);
            let text = text.escape_debug();
            (Some(output.step), format!("{channel} {text}"))
        }
        BuildEvent::StepCacheHit(step) => (Some(*step), "found in the cache".into()),
        BuildEvent::StepEnded(ended) => {
            let mut text = word(ended.status).replace('_', " ");
            if let Some(code) = ended.exit_code {
                let _ = write!(text, " ({code})");
            }
            if let Some(detail) = &ended.detail {
                let _ = write!(text, ": {detail}");
            }
            (Some(ended.step), text)
        }
        BuildEvent::Notice(notice) => (
            notice.step,
            format!("{:?}: {}", notice.level, notice.message)
                .replace("Level::", "")
                .to_lowercase_first(),
        ),
        BuildEvent::Custom(custom) => (None, format!("{} {}", custom.name, custom.json)),
    }
}

/// Lower case for the word that a line begins with.
trait LowerFirst {
    fn to_lowercase_first(self) -> String;
}

impl LowerFirst for String {
    fn to_lowercase_first(self) -> String {
        let mut chars = self.chars();
        match chars.next() {
            Some(first) => first.to_lowercase().chain(chars).collect(),
            None => self,
        }
    }
}

fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ended(status) => format!("build {}", build_word(*status).replace('_', " ")),
        Outcome::Error(error) => format!("build ended by an error: {error:?}"),
        Outcome::Refused(error) => format!("build refused: {error:?}"),
        Outcome::Cancelled(CancelReason::Interrupted) => "build cancelled".into(),
        Outcome::Cancelled(CancelReason::TimedOut) => "build timed out".into(),
        Outcome::Killed => "build killed: it did not stop when it was to".into(),
        Outcome::Broken(why) => format!("build broken: {why}"),
    }
}

//! What the host itself saw: runs of steps on machines, and answers of the cache.

use std::sync::Arc;

use hm_plugin_protocol::{Level, StepId};
use tokio::sync::Notify;

use super::{ATTEMPTS_MAX, Ledger, Phase, Violation};
use crate::sequencer::stream::Entry;

/// How a step's own command ended, as the host saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Observed {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Signaled(u32),
    /// Killed after the step's timeout.
    TimedOut,
    /// Killed for want of memory.
    OutOfMemory,
}

impl Observed {
    /// Returns the exit code that stands for it everywhere.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + i32::try_from(signal).unwrap_or(127),
            Self::TimedOut => 124,
            Self::OutOfMemory => 137,
        }
    }

    pub(crate) fn is_timeout(self) -> bool {
        self == Self::TimedOut
    }
}

/// Why a run may not begin.
pub(crate) enum RunRefused {
    /// The guest is at fault beyond repair.
    Violation(Violation),
    /// The guest gets an error.
    Denied(String),
}

impl Ledger {
    /// Returns true if the host itself saw a step fail.
    pub(crate) fn has_seen_a_failure(&self) -> bool {
        self.steps
            .iter()
            .any(|step| step.observed.is_some_and(|seen| seen.code() != 0))
    }

    /// Checks that a step may be run now and counts the attempt. Returns what is notified if the
    /// step's end is claimed meanwhile, and what to tell.
    pub(crate) fn begin_run(
        &mut self,
        step: StepId,
    ) -> Result<(Arc<Notify>, Option<Entry>), RunRefused> {
        let state = self
            .get("machine.run", step)
            .map_err(RunRefused::Violation)?;
        let (phase, attempts) = (state.phase, state.attempts);
        let is_running = state.running.is_some();
        if phase != Phase::Running {
            let text = format!(
                "machine.run for {}, which has not been started",
                self.name(step)
            );
            return Err(RunRefused::Violation(Violation(text)));
        }
        if is_running {
            return Err(RunRefused::Denied(format!(
                "{} is being run",
                self.name(step)
            )));
        }
        if attempts >= ATTEMPTS_MAX {
            return Err(RunRefused::Denied(format!(
                "{} was run {ATTEMPTS_MAX} times",
                self.name(step)
            )));
        }
        let previous = state.observed.map(|observed| observed.code());
        state.attempts += 1;
        let attempt = state.attempts;
        let state = &mut self.steps[step as usize];
        state.observed = None;
        state.cause = None;
        state.draining += 1;
        let running = Arc::<Notify>::default();
        state.running = Some(running.clone());
        let again = (attempt > 1).then(|| {
            let ended = previous.map_or("was lost".into(), |code| format!("ended with {code}"));
            self.note(
                Some(step),
                Level::Warning,
                format!("attempt {attempt}: the one before {ended}"),
            )
        });
        Ok((running, again))
    }

    /// Notes how a run ended, and what ran out if something did; a run that was cut off has
    /// no status.
    pub(crate) fn end_run(&mut self, step: StepId, observed: Observed, cause: Option<String>) {
        if let Some(state) = self.steps.get_mut(step as usize)
            && state.phase == Phase::Running
        {
            state.observed = Some(observed);
            state.cause = cause;
        }
    }

    /// A run has ended, or nobody waits for it any more.
    pub(crate) fn leave_run(&mut self, step: StepId) {
        self.steps[step as usize].running = None;
    }

    /// A command's output has been read to its end. Returns the step's end, if it waited.
    pub(crate) fn drained(&mut self, step: StepId) -> Option<Entry> {
        let state = &mut self.steps[step as usize];
        state.draining = state.draining.saturating_sub(1);
        if state.draining > 0 {
            return None;
        }
        state
            .held_end
            .take()
            .map(|events| Entry::End { step, events })
    }

    /// The cache answered for this step.
    pub(crate) fn hit(&mut self, step: StepId, key: String, snapshot: String) {
        let state = &mut self.steps[step as usize];
        state.snapshot = Some(snapshot.clone());
        state.hit = Some((key, snapshot));
    }

    /// The step's result was kept under a key.
    pub(crate) fn kept(&mut self, step: StepId, snapshot: String) {
        self.steps[step as usize].snapshot = Some(snapshot);
    }
}

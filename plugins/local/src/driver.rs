//! Carries a build out: asks the [scheduler](crate::scheduler) what is next, does it in
//! a [world](crate::world), and tells the events.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Fuse, FusedFuture, FutureExt, LocalBoxFuture};
use futures::select_biased;
use futures::stream::{FuturesUnordered, StreamExt};
use hm_backend_sdk::vm::{ExecStatus, VmError};
use hm_backend_sdk::{
    BackendError, BuildEvent, BuildStatus, CancelReason, Level, Notice, Plan, StepEnded, StepId,
    StepStarted, StepStatus,
};

use crate::graph::StepGraph;
use crate::scheduler::{Aftermath, Blow, Legacy, Scheduler};
use crate::wording::{self, Why};
use crate::world::World;
use tasks::{Held, Origin, Report, Start, freeze, run_step, store};

mod tasks;

/// Machines that the host lets a build hold: this many, or twice the slots if that is more.
const MACHINES: usize = 64;

/// Machines held for a step that is ready and has no slot: this many, or half the slots if
/// that is more. Beyond it a machine is frozen and let go, so that there is always room to
/// boot another.
const IDLE: usize = 16;

/// Calls of a component that the host takes at once are 128. Some are left for the stream of
/// events, the clock and the wait for a cancellation.
const CALLS: usize = 120;

/// Tries of a boot while the build holds no machine, before the limit is taken for real:
/// machines just let go are still being torn down. About four seconds in all.
const TRIES: u32 = 12;

/// Pause after a boot for which there was no machine; it doubles up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What the user asked for.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Steps at once, at least one.
    pub slots: usize,
    /// A failure stops only what depends on it.
    pub keep_going: bool,
    /// Use and fill the cache.
    pub cache: bool,
}

/// Carries out the build of `plan`, whose graph is `graph`, until its end or until
/// `cancelled` returns.
///
/// # Errors
/// A step could not be run or its state not be kept, for a reason that is not its
/// command's. The steps' events are complete all the same.
pub async fn drive<W: World>(
    world: &W,
    plan: &Plan,
    graph: StepGraph,
    settings: Settings,
    cancelled: impl Future<Output = CancelReason>,
) -> Result<BuildStatus, BackendError> {
    let cached = plan
        .steps
        .iter()
        .map(|step| step.cacheable && settings.cache)
        .collect();
    let steps = graph.len();
    let driver = Driver {
        world,
        plan,
        scheduler: Scheduler::new(graph, cached, settings.slots, settings.keep_going),
        machine_limit: MACHINES.max(2 * settings.slots),
        idle_limit: IDLE.max(settings.slots / 2),
        runs: FuturesUnordered::new(),
        upkeep: FuturesUnordered::new(),
        carried: BTreeMap::new(),
        left: (0..steps).map(|_| None).collect(),
        started: vec![false; steps],
        held: Rc::default(),
        retry: Fuse::terminated(),
        tries: 0,
        pause: FIRST_PAUSE,
        told_full: false,
        breakdown: None,
    };
    driver.build(cancelled).await
}

/// What a step left behind, while there are steps to start from it.
struct Left<S> {
    state: Rc<S>,
    heirs: usize,
}

struct Driver<'a, W: World> {
    world: &'a W,
    plan: &'a Plan,
    scheduler: Scheduler,
    machine_limit: usize,
    idle_limit: usize,
    /// Steps that have a slot.
    runs: FuturesUnordered<LocalBoxFuture<'a, Report<W>>>,
    /// Freezing and storing; no slot is needed for it.
    upkeep: FuturesUnordered<LocalBoxFuture<'a, Report<W>>>,
    /// Machines by the step that goes on in them.
    carried: BTreeMap<StepId, Held<W::Machine>>,
    left: Vec<Option<Left<W::Snapshot>>>,
    /// Steps whose start was told.
    started: Vec<bool>,
    held: Rc<Cell<usize>>,
    /// Runs while no boot is tried.
    retry: Fuse<LocalBoxFuture<'a, ()>>,
    tries: u32,
    pause: Duration,
    /// The user was told that steps wait for machines; once is enough.
    told_full: bool,
    /// Why the build cannot end with a verdict.
    breakdown: Option<BackendError>,
}

/// The host is cancelling the build; a call that it ended says so.
struct Cancelled;

impl<'a, W: World> Driver<'a, W> {
    async fn build(
        mut self,
        cancelled: impl Future<Output = CancelReason>,
    ) -> Result<BuildStatus, BackendError> {
        let mut cancelled = pin!(cancelled.fuse());
        for step in 0..self.plan.steps.len() as StepId {
            self.world.queue(BuildEvent::StepQueued(step));
        }
        loop {
            self.start_ready();
            // Before any of the calls that the started steps make.
            self.world.flush().await;
            if self.runs.is_empty() && self.upkeep.is_empty() && self.retry.is_terminated() {
                break;
            }
            let mut report = select_biased! {
                reason = cancelled => return Ok(self.interrupted(reason).await),
                report = self.runs.select_next_some() => Some(report),
                report = self.upkeep.select_next_some() => Some(report),
                () = &mut self.retry => None,
            };
            while let Some(taken) = report {
                if let Err(Cancelled) = self.take(taken) {
                    let reason = cancelled.await;
                    return Ok(self.interrupted(reason).await);
                }
                // What ended at the same time is told in the same write.
                report = self.runs.next().now_or_never().flatten();
            }
        }
        match self.breakdown {
            Some(error) => Err(error),
            None => Ok(self.scheduler.verdict()),
        }
    }

    fn start_ready(&mut self) {
        if self.retry.is_terminated() {
            while self.has_room() {
                let Some(step) = self.scheduler.take_next() else {
                    break;
                };
                self.start(step);
            }
            return;
        }
        // No machine is to be had. Those that hold one go on, so that it becomes free.
        let heirs: Vec<_> = self.carried.keys().copied().collect();
        for heir in heirs {
            if self.scheduler.claim(heir) {
                self.start(heir);
            }
        }
    }

    /// Returns true if the host would take another machine and another call.
    fn has_room(&self) -> bool {
        let calls = self.runs.len() + self.upkeep.len();
        calls < CALLS && calls + self.carried.len() < self.machine_limit
    }

    fn start(&mut self, step: StepId) {
        let index = step as usize;
        let image = self.plan.steps[index].image.as_deref();
        let left = self
            .scheduler
            .graph()
            .parent(step)
            .and_then(|p| self.left[p as usize].as_ref());
        let origin = match (self.carried.remove(&step), left) {
            (Some(machine), _) => Origin::Machine(machine),
            (None, Some(left)) => Origin::Snapshot(Rc::clone(&left.state)),
            (None, None) => Origin::Image(image.unwrap_or_default()),
        };
        let started = StepStarted::new(step, "vm").image(image.map(Into::into));
        let mut lookup = None;
        if self.scheduler.is_cached(step) && !self.started[index] {
            lookup = Some(started);
        } else if !std::mem::replace(&mut self.started[index], true) {
            self.world.queue(BuildEvent::StepStarted(started));
        }
        let start = Start {
            step,
            origin,
            lookup,
            held: Rc::clone(&self.held),
        };
        self.runs.push(run_step(self.world, start).boxed_local());
    }

    fn take(&mut self, report: Report<W>) -> Result<(), Cancelled> {
        match report {
            Report::Hit { step, state } => {
                self.leave_parent(step);
                self.world.queue(BuildEvent::StepCacheHit(step));
                self.ended(StepEnded::new(step, StepStatus::CacheHit));
                self.scheduler.passed(step);
                self.keep(step, Rc::new(state));
            }
            Report::Ran {
                step,
                status,
                machine,
            } => {
                self.leave_parent(step);
                (self.tries, self.pause) = (0, FIRST_PAUSE);
                self.ran(step, status, machine);
            }
            Report::Full { step, why } => self.full(step, why),
            Report::Broke { step, ran, error } => {
                if matches!(error, VmError::Cancelled) {
                    return Err(Cancelled);
                }
                self.leave_parent(step);
                self.broke(step, ran, &error);
            }
            Report::Frozen {
                step,
                state: Ok(state),
            } => {
                let state = Rc::new(state);
                self.keep(step, Rc::clone(&state));
                if self.scheduler.is_cached(step) {
                    self.upkeep
                        .push(store(self.world, step, state).boxed_local());
                }
            }
            Report::Frozen {
                step: _,
                state: Err(VmError::Cancelled),
            } => return Err(Cancelled),
            Report::Frozen {
                step,
                state: Err(error),
            } => self.state_lost(step, &error),
            Report::Stored { step, result } => {
                if let Err(error) = result {
                    self.not_stored(step, &error);
                }
            }
        }
        Ok(())
    }

    fn ran(&mut self, step: StepId, status: ExecStatus, machine: Held<W::Machine>) {
        let ended = StepEnded::of(step, &self.plan.steps[step as usize], status);
        let status = ended.status;
        self.ended(ended);
        if status != StepStatus::Passed {
            drop(machine);
            let why = if status == StepStatus::TimedOut {
                Why::TimedOut
            } else {
                Why::Failed
            };
            let aftermath = self.scheduler.not_passed(step);
            return self.end_others(step, why, aftermath);
        }
        self.scheduler.passed(step);
        match self.scheduler.legacy(step) {
            Legacy::LetGo => {}
            Legacy::HandOver(heir) if self.carried.len() < self.idle_limit => {
                self.carried.insert(heir, machine);
                self.scheduler.state_kept(step);
            }
            Legacy::HandOver(_) | Legacy::Freeze => {
                self.upkeep
                    .push(freeze(self.world, step, machine).boxed_local());
            }
        }
    }

    /// A boot found no machine left. Others will become free: the step waits for one.
    fn full(&mut self, step: StepId, why: String) {
        // Boots that fail together are one try.
        let first = self.retry.is_terminated();
        self.tries = if self.held.get() > 0 {
            0
        } else {
            self.tries + u32::from(first)
        };
        if self.tries >= TRIES {
            self.leave_parent(step);
            return self.broke(step, false, &VmError::Limit(why));
        }
        self.started[step as usize] = true;
        if !std::mem::replace(&mut self.told_full, true) {
            let message = format!("waiting for a machine: {why}");
            self.world.queue(BuildEvent::Notice(
                Notice::new(Level::Info, message).about(step),
            ));
        }
        self.scheduler.put_back(step);
        if first {
            self.retry = self.world.pause(self.pause).boxed_local().fuse();
            self.pause = LONGEST_PAUSE.min(self.pause * 2);
        }
    }

    fn broke(&mut self, step: StepId, ran: bool, error: &VmError) {
        let text = wording::text(error);
        self.ended(StepEnded::new(step, StepStatus::Failed).detail(text));
        // A command that went over a limit has failed; anything else is not its fault.
        let why = match error {
            VmError::Limit(_) if ran => Why::Failed,
            _ => {
                let error = wording::build_error(self.plan, step, Why::CouldNotRun, error);
                self.breakdown.get_or_insert(error);
                Why::CouldNotRun
            }
        };
        let aftermath = self.scheduler.not_passed(step);
        self.end_others(step, why, aftermath);
    }

    fn state_lost(&mut self, step: StepId, error: &VmError) {
        if !self.scheduler.is_wanted(step) {
            return self.not_stored(step, error);
        }
        let aftermath = self.scheduler.struck(step, Blow::StateLost);
        let lost = wording::build_error(self.plan, step, Why::StateLost, error);
        self.breakdown.get_or_insert(lost);
        self.end_others(step, Why::StateLost, aftermath);
    }

    fn not_stored(&self, step: StepId, error: &VmError) {
        let message = format!("not kept for the next build: {}", wording::text(error));
        self.world.queue(BuildEvent::Notice(
            Notice::new(Level::Warning, message).about(step),
        ));
    }

    /// Tells the ends of the steps that `step` took with it, and lets go of their machines.
    fn end_others(&mut self, step: StepId, why: Why, aftermath: Aftermath) {
        if self.scheduler.is_halted() {
            self.runs.clear();
            self.carried.clear();
            self.retry = Fuse::terminated();
        }
        let reason = wording::reason(self.plan, step, why);
        // A step that was told to start and then had to wait for a machine cannot be skipped.
        let Aftermath {
            mut cancelled,
            skipped,
        } = aftermath;
        let (waiting, skipped): (Vec<_>, Vec<_>) = skipped
            .into_iter()
            .partition(|&step| self.started[step as usize]);
        cancelled.extend(waiting);
        for step in cancelled {
            let detail = format!("because {reason}");
            self.ended(StepEnded::new(step, StepStatus::Cancelled).detail(detail));
        }
        for step in skipped {
            self.ended(StepEnded::new(step, StepStatus::Skipped).detail(reason.as_str()));
        }
    }

    /// Ends everything, because the host wants it.
    async fn interrupted(mut self, reason: CancelReason) -> BuildStatus {
        self.runs.clear();
        self.upkeep.clear();
        self.carried.clear();
        let (detail, status) = match reason {
            CancelReason::Interrupted => ("the build was interrupted", BuildStatus::Cancelled),
            CancelReason::TimedOut => ("the build timed out", BuildStatus::TimedOut),
        };
        let Aftermath { cancelled, skipped } = self.scheduler.halt();
        for step in cancelled.into_iter().chain(skipped) {
            self.ended(StepEnded::new(step, StepStatus::Cancelled).detail(detail));
        }
        self.world.flush().await;
        status
    }

    fn ended(&self, ended: StepEnded) {
        self.world.queue(BuildEvent::StepEnded(ended));
    }

    /// Notes what a step left behind, for those that start from it.
    fn keep(&mut self, step: StepId, state: Rc<W::Snapshot>) {
        let heirs = self.scheduler.graph().children(step).count();
        if heirs > 0 {
            self.left[step as usize] = Some(Left { state, heirs });
            self.scheduler.state_kept(step);
        }
    }

    /// Frees what the parent of `step` left behind, if `step` was the last to want it.
    fn leave_parent(&mut self, step: StepId) {
        let Some(parent) = self.scheduler.graph().parent(step) else {
            return;
        };
        let slot = &mut self.left[parent as usize];
        if let Some(left) = slot {
            left.heirs = left.heirs.saturating_sub(1);
            if left.heirs == 0 {
                *slot = None;
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;

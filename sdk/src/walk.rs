//! Walks over a plan: each step as soon as its predecessors have passed.

mod graph;
mod stop;

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, LocalBoxFuture, select};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::bindings::hm::backend::control::CancelReason;
use crate::bindings::hm::backend::types::{
    BackendError, BuildStatus, Plan, RunRequest, Step, StepId, StepStatus,
};
use crate::{Cancellation, Cancelled, EventSink, QueuedStep, RunningStep, clock};
use graph::Graph;
pub use stop::{Stop, Stopped};

/// Steps at once, whatever the user asks for: the host takes 128 calls of a component at a
/// time, and each step on its way has one or two.
const MOST: usize = 60;

/// Time that steps on their way have to tidy up, of the ten seconds that the host grants.
const TIDYING: Duration = Duration::from_secs(5);

/// Within that time the host's wish is heard, once a call was ended by it.
const HEARD: Duration = Duration::from_secs(1);

/// Bytes of a step's key in a sentence.
const MAX_KEY: usize = 200;

/// Runs every step of the plan by `run`, in an order that the plan allows: as many at once
/// as the user asked for (60 at most), and each only when all that it waits for has passed
/// or came from a cache. Returns the verdict.
///
/// `run` gets a [`Turn`], [starts](Turn::start) the step and ends it. What it returns is
/// what the step leaves behind for the steps that start from it ([`Turn::parent`]): a
/// snapshot, an id at a service, or `()`.
///
/// The rest is told from here: when a step does not pass, those that wait for it are
/// skipped, and without `--keep-going` all others end too; when the build is to stop, what
/// runs is dropped. Steps end with the reason.
///
/// ```no_run
/// # use hm_backend_sdk::*;
/// # async fn run_elsewhere(command: &str) -> Result<i32, BackendError> { Ok(0) }
/// # async fn f(request: RunRequest, events: EventSink, cancellation: Cancellation) -> Result<BuildStatus, BackendError> {
/// walk(&request, &events, &cancellation, async |turn: Turn<()>| {
///     let command = turn.step().command.clone();
///     let step = turn.start("elsewhere").await;
///     step.exit(run_elsewhere(&command).await?).await;
///     Ok(())
/// })
/// .await
/// # }
/// ```
///
/// # Errors
/// The first error of `run`; what is open then ends as cancelled.
pub async fn walk<S, F>(
    request: &RunRequest,
    events: &EventSink,
    cancellation: &Cancellation,
    run: F,
) -> Result<BuildStatus, BackendError>
where
    F: AsyncFn(Turn<S>) -> Result<S, BackendError>,
{
    let steps = events.queue_all(&request.plan).await;
    let walk = Walk {
        events,
        graph: Graph::new(&request.plan),
        waiting: steps.into_iter().map(Some).collect(),
        plan: Rc::new(request.plan.clone()),
        left: request.plan.steps.iter().map(|_| None).collect(),
        keep_going: request.options.keep_going,
        room: (request.options.parallelism.max(1) as usize).min(MOST),
        running: FuturesUnordered::new(),
        stop: Rc::default(),
    };
    walk.finish(cancellation, &run).await
}

/// A step whose turn it is.
#[derive(Debug)]
pub struct Turn<S> {
    step: QueuedStep,
    plan: Rc<Plan>,
    parent: Option<Rc<S>>,
    has_heirs: bool,
    stop: Rc<stop::Shared>,
}

impl<S> Turn<S> {
    /// Returns the step's index in the plan.
    pub fn id(&self) -> StepId {
        self.step.id()
    }

    /// Returns the step, as the plan has it.
    pub fn step(&self) -> &Step {
        &self.plan.steps[self.id() as usize]
    }

    /// Returns the plan.
    pub fn plan(&self) -> &Rc<Plan> {
        &self.plan
    }

    /// Returns what the step left behind from which this one starts; none for a step that
    /// starts from its own image.
    pub fn parent(&self) -> Option<&Rc<S>> {
        self.parent.as_ref()
    }

    /// Returns true if another step starts from what this one leaves behind.
    pub fn has_heirs(&self) -> bool {
        self.has_heirs
    }

    /// Returns what tells the step to stop while it is on its way. Take it before
    /// [`start`](Self::start).
    pub fn stop(&self) -> Stop {
        Stop(Rc::clone(&self.stop))
    }

    /// Tells that the step's command begins to run on `runner`, for display.
    pub async fn start(self, runner: impl Into<String>) -> RunningStep {
        let image = self.step().image.clone();
        self.step.start_in(runner, image).await
    }

    /// Returns the handle of the step that waits, for what [`start`](Self::start) is not.
    pub fn into_step(self) -> QueuedStep {
        self.step
    }
}

type Report<S> = (StepId, Result<S, BackendError>);

struct Walk<'a, S> {
    events: &'a EventSink,
    plan: Rc<Plan>,
    graph: Graph,
    /// By step, as all that follows; a tree would be several kilobytes of each component.
    waiting: Vec<Option<QueuedStep>>,
    /// What steps left behind, and how many still want it.
    left: Vec<Option<(Rc<S>, usize)>>,
    keep_going: bool,
    room: usize,
    running: FuturesUnordered<LocalBoxFuture<'a, Report<S>>>,
    stop: Rc<stop::Shared>,
}

impl<'a, S: 'a> Walk<'a, S> {
    async fn finish<F>(
        mut self,
        cancellation: &Cancellation,
        run: &'a F,
    ) -> Result<BuildStatus, BackendError>
    where
        F: AsyncFn(Turn<S>) -> Result<S, BackendError>,
    {
        loop {
            while self.running.len() < self.room
                && let Some(step) = self.graph.take_ready()
            {
                self.start(step, run);
            }
            if self.running.is_empty() {
                return Ok(self.events.verdict());
            }
            let (step, result) = match next(cancellation, &mut self.running).await {
                Ok(report) => report,
                Err(cancelled) => return Ok(self.cancelled(cancelled).await),
            };
            match result {
                Ok(state) if self.has_passed(step) => self.passed(step, state),
                Ok(_) => {
                    let is_over = self.not_passed(step).await;
                    if is_over {
                        return Ok(self.events.verdict());
                    }
                }
                Err(error) => {
                    // A call that the host has ended says so before the wish itself is heard.
                    if error == BackendError::Cancelled
                        && let Ok(reason) = clock::timeout(HEARD, cancellation.requested()).await
                    {
                        return Ok(self.cancelled(Cancelled::new(reason)).await);
                    }
                    let why = format!("{} could not be run", self.key(step));
                    self.halt(&why).await;
                    return Err(error);
                }
            }
        }
    }

    fn start<F>(&mut self, step: StepId, run: &'a F)
    where
        F: AsyncFn(Turn<S>) -> Result<S, BackendError>,
    {
        let Some(queued) = self.waiting[step as usize].take() else {
            return;
        };
        let parent = self.graph.parent(step);
        let left = parent.and_then(|parent| self.left[parent as usize].as_ref());
        let turn = Turn {
            step: queued,
            plan: Rc::clone(&self.plan),
            parent: left.map(|(state, _)| Rc::clone(state)),
            has_heirs: self.graph.heirs(step) > 0,
            stop: Rc::clone(&self.stop),
        };
        self.running
            .push(Box::pin(async move { (step, run(turn).await) }));
    }

    fn has_passed(&self, step: StepId) -> bool {
        let status = self.events.status(step);
        matches!(status, Some(StepStatus::Passed | StepStatus::CacheHit))
    }

    fn passed(&mut self, step: StepId, state: S) {
        self.leave_parent(step);
        let heirs = self.graph.heirs(step);
        if heirs > 0 {
            self.left[step as usize] = Some((Rc::new(state), heirs));
        }
        self.graph.passed(step);
    }

    /// Ends what cannot go on, and returns true if nothing can.
    async fn not_passed(&mut self, step: StepId) -> bool {
        self.leave_parent(step);
        let (verb, is_failure) = match self.events.status(step) {
            Some(StepStatus::TimedOut) => ("timed out", true),
            Some(StepStatus::Failed) => ("failed", true),
            Some(StepStatus::Skipped) => ("was skipped", false),
            _ => ("was cancelled", true),
        };
        let why = format!("{} {verb}", self.key(step));
        if is_failure && !self.keep_going {
            self.halt(&why).await;
            return true;
        }
        for step in self.graph.take_dependents(step) {
            self.leave_parent(step);
            if let Some(queued) = self.waiting[step as usize].take() {
                queued.skip(&*why).await;
            }
        }
        false
    }

    /// Ends everything: what runs is cancelled, what waits is skipped.
    async fn halt(&mut self, why: &str) {
        self.wind_down(&format!("because {why}")).await;
        for queued in std::mem::take(&mut self.waiting).into_iter().flatten() {
            queued.skip(why).await;
        }
    }

    async fn cancelled(mut self, cancelled: Cancelled) -> BuildStatus {
        self.wind_down(&cancelled.to_string()).await;
        for queued in std::mem::take(&mut self.waiting).into_iter().flatten() {
            queued.cancel(cancelled.to_string()).await;
        }
        match cancelled.reason() {
            CancelReason::Interrupted => BuildStatus::Cancelled,
            CancelReason::TimedOut => BuildStatus::TimedOut,
        }
    }

    /// Ends what runs, and lets it tidy up if it wants to.
    async fn wind_down(&mut self, why: &str) {
        self.events.dropping_because(Some(why));
        self.stop.set();
        // One handle is our own; others were asked for by steps on their way.
        if Rc::strong_count(&self.stop) > 1 {
            let _ = clock::timeout(TIDYING, self.running.by_ref().for_each(async |_| {})).await;
        }
        self.running.clear();
        self.events.dropping_because(None);
        self.events.flush().await;
    }

    /// Frees what the parent left behind once nobody wants it any more.
    fn leave_parent(&mut self, step: StepId) {
        let Some(parent) = self.graph.parent(step) else {
            return;
        };
        let left = &mut self.left[parent as usize];
        if let Some((_, heirs)) = left {
            *heirs -= 1;
            if *heirs == 0 {
                *left = None;
            }
        }
    }

    /// Returns the step's key for a sentence.
    fn key(&self, step: StepId) -> String {
        let key = &self.plan.steps[step as usize].key;
        if key.len() <= MAX_KEY {
            return format!("`{key}`");
        }
        format!("`{}…`", &key[..key.floor_char_boundary(MAX_KEY)])
    }
}

async fn next<S>(
    cancellation: &Cancellation,
    running: &mut FuturesUnordered<LocalBoxFuture<'_, Report<S>>>,
) -> Result<Report<S>, Cancelled> {
    match select(pin!(cancellation.requested()), running.next()).await {
        Either::Left((reason, _)) => Err(Cancelled::new(reason)),
        Either::Right((Some(report), _)) => Ok(report),
        // It is not asked when it is empty.
        Either::Right((None, requested)) => Err(Cancelled::new(requested.await)),
    }
}

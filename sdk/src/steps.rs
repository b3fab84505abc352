//! Handles that keep the order of a step's events: queued, started, output, ended.

use std::rc::Rc;

use crate::bindings::hm::backend::events::{Level, LogChannel, Notice, StepEnded, StepStarted};
use crate::bindings::hm::backend::types::{BuildStatus, Step, StepId, StepStatus};
use crate::vm::ExecStatus;
use crate::{BuildEvent, EventSink};

/// More steps than any plan has: what names one beyond is a mistake that the host tells of,
/// and nothing that memory is set aside for.
const MOST_STEPS: usize = 1 << 20;

/// How the steps have ended, as far as they have.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// By step. Not a tree, which is several kilobytes of a component.
    ended: Vec<Option<StepStatus>>,
    /// With which reason steps end whose handles are dropped.
    pub(crate) why: Option<Rc<str>>,
}

impl Tally {
    pub(crate) fn ended(&mut self, step: StepId, status: StepStatus) {
        let step = step as usize;
        if step >= MOST_STEPS {
            return;
        }
        if self.ended.len() <= step {
            self.ended.resize(step + 1, None);
        }
        self.ended[step].get_or_insert(status);
    }

    pub(crate) fn status(&self, step: StepId) -> Option<StepStatus> {
        self.ended.get(step as usize).copied().flatten()
    }

    pub(crate) fn verdict(&self) -> BuildStatus {
        let any = |wanted| self.ended.contains(&Some(wanted));
        if any(StepStatus::Failed) || any(StepStatus::TimedOut) {
            BuildStatus::Failed
        } else if any(StepStatus::Cancelled) {
            BuildStatus::Cancelled
        } else {
            BuildStatus::Passed
        }
    }
}

/// A step that waits for its turn. Every way to go on takes the handle, so none can be
/// gone twice; dropping it tells that the step was cancelled.
///
/// ```no_run
/// # async fn f(events: hm_backend_sdk::EventSink, is_known: bool) {
/// let queued = events.queue_step(0).await;
/// if is_known {
///     queued.cache_hit().await;
/// } else {
///     let running = queued.start("far away").await;
///     running.stdout("working\n").await;
///     running.exit(0).await;
/// }
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping it tells that the step was cancelled"]
pub struct QueuedStep(Open);

/// A step whose command runs. Ending it takes the handle; dropping it tells that the step
/// was cancelled.
#[derive(Debug)]
#[must_use = "dropping it tells that the step was cancelled"]
pub struct RunningStep(Open);

/// A step that has not ended.
#[derive(Debug)]
struct Open {
    sink: EventSink,
    step: StepId,
    is_over: bool,
}

impl Open {
    async fn end(&mut self, ended: StepEnded) {
        self.is_over = true;
        self.sink.step_ended(ended).await;
    }

    async fn end_as(&mut self, status: StepStatus, why: String) {
        self.end(StepEnded::new(self.step, status).detail(why))
            .await;
    }

    async fn notice(&self, level: Level, message: String) {
        let notice = Notice::new(level, message).about(self.step);
        self.sink.emit(BuildEvent::Notice(notice)).await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.is_over {
            self.sink.dropped(self.step);
        }
    }
}

impl QueuedStep {
    pub(crate) fn new(sink: EventSink, step: StepId) -> Self {
        Self(Open {
            sink,
            step,
            is_over: false,
        })
    }

    /// Returns the step's index in the plan.
    pub fn id(&self) -> StepId {
        self.0.step
    }

    /// Tells that the step's command begins to run on `runner` (for display: a queue, a
    /// node). Everything that the step waits for must have ended.
    pub async fn start(self, runner: impl Into<String>) -> RunningStep {
        self.start_in(runner, None).await
    }

    /// Tells it with an image, which must be the plan's.
    pub async fn start_in(self, runner: impl Into<String>, image: Option<String>) -> RunningStep {
        let started = StepStarted::new(self.id(), runner).image(image);
        self.0.sink.step_started(started).await;
        RunningStep(self.0)
    }

    /// Tells that the result of an earlier build stands in.
    pub async fn cache_hit(mut self) {
        self.0.sink.step_cache_hit(self.id()).await;
        let ended = StepEnded::new(self.id(), StepStatus::CacheHit);
        self.0.end(ended).await;
    }

    /// Ends the step without having run it.
    pub async fn skip(mut self, why: impl Into<String>) {
        self.0.end_as(StepStatus::Skipped, why.into()).await;
    }

    /// Ends the step because the build is to stop.
    pub async fn cancel(mut self, why: impl Into<String>) {
        self.0.end_as(StepStatus::Cancelled, why.into()).await;
    }

    /// Tells the user something about the step: why it waits, its place in a queue.
    pub async fn notice(&self, level: Level, message: impl Into<String>) {
        self.0.notice(level, message.into()).await;
    }
}

impl RunningStep {
    /// Returns the step's index in the plan.
    pub fn id(&self) -> StepId {
        self.0.step
    }

    /// Sends output of a step that runs elsewhere; see
    /// [`EventSink::step_output`]. `data` may end anywhere.
    pub async fn output(&self, channel: LogChannel, data: impl AsRef<[u8]>) {
        let step = self.0.step;
        self.0.sink.step_output(step, channel, data.as_ref()).await;
    }

    /// Sends what the step wrote to its standard output.
    pub async fn stdout(&self, data: impl AsRef<[u8]>) {
        self.output(LogChannel::Stdout, data).await;
    }

    /// Sends what the step wrote to its standard error.
    pub async fn stderr(&self, data: impl AsRef<[u8]>) {
        self.output(LogChannel::Stderr, data).await;
    }

    /// Tells the user something that is not the step's output.
    pub async fn notice(&self, level: Level, message: impl Into<String>) {
        self.0.notice(level, message.into()).await;
    }

    /// Ends the step as passed, with the exit code 0.
    pub async fn pass(self) {
        self.exit(0).await;
    }

    /// Ends the step by its command's exit code: passed for 0, else failed.
    pub async fn exit(mut self, code: i32) {
        let status = if code == 0 {
            StepStatus::Passed
        } else {
            StepStatus::Failed
        };
        let ended = StepEnded::new(self.id(), status).exit_code(code);
        self.0.end(ended).await;
    }

    /// Ends the step as failed without an exit code.
    pub async fn fail(mut self, why: impl Into<String>) {
        self.0.end_as(StepStatus::Failed, why.into()).await;
    }

    /// Ends the step as over its time.
    pub async fn time_out(mut self, why: impl Into<String>) {
        self.0.end_as(StepStatus::TimedOut, why.into()).await;
    }

    /// Ends the step because the build is to stop.
    pub async fn cancel(mut self, why: impl Into<String>) {
        self.0.end_as(StepStatus::Cancelled, why.into()).await;
    }

    /// Ends the step as the status of its command wants it; `step` is the plan's.
    pub async fn end(mut self, step: &Step, status: ExecStatus) {
        let ended = StepEnded::of(self.id(), step, status);
        self.0.end(ended).await;
    }
}

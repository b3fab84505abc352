//! Where a backend puts its events.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use futures::future::LocalBoxFuture;
use futures::lock::{Mutex, MutexGuard};

use crate::bindings::hm::backend::events::{
    BuildEvent, Level, LogChannel, Notice, StepEnded, StepOutput, StepStarted,
};
use crate::bindings::hm::backend::types::{BuildStatus, Plan, StepId, StepStatus};
use crate::events::fit_event;
use crate::platform::EventWriter;
use crate::steps::{QueuedStep, Tally};
use crate::text::MAX_OUTPUT_CHUNK;

/// Events in one write: what the host lifts at once.
const BATCH: usize = 64;

/// Takes the events of a build. Cheap to clone; every clone feeds the same stream.
///
/// A method returns when the host has the event: what the backend calls after that,
/// [`vm::Machine::run`](crate::vm::Machine::run) included, comes after it. Events of
/// tasks that wait at the same time travel together. A host that no longer listens
/// takes everything and keeps nothing; the build's end is then decided elsewhere.
#[derive(Clone)]
pub struct EventSink(Rc<Shared>);

struct Shared {
    queue: RefCell<VecDeque<BuildEvent>>,
    line: Mutex<Line>,
    /// The host does not listen any more.
    unheard: Cell<bool>,
    tally: RefCell<Tally>,
}

/// The way to the host. A write lives here and not in the task that began it: a task
/// that is dropped half-way must not take other tasks' events with it.
///
/// One future for all writes, polled by who holds the line: one a write would be made and
/// thrown away with every event (bench row `sdk events`).
struct Line {
    /// None once nobody reads any more.
    writes: Option<LocalBoxFuture<'static, ()>>,
    turn: Rc<Turn>,
}

/// What the future of the writes and its holder tell each other.
#[derive(Default)]
struct Turn {
    /// To be written next; whoever puts it here polls.
    next: Cell<Option<Vec<BuildEvent>>>,
    /// A write is on its way.
    is_busy: Cell<bool>,
}

impl Line {
    fn new(mut writer: EventWriter) -> Self {
        let turn = Rc::<Turn>::default();
        let ours = turn.clone();
        let writes = async move {
            loop {
                let batch = poll_fn(|_| match ours.next.take() {
                    Some(batch) => Poll::Ready(batch),
                    None => Poll::Pending,
                });
                if !writer.write_all(batch.await).await {
                    return;
                }
                ours.is_busy.set(false);
            }
        };
        Self {
            writes: Some(Box::pin(writes)),
            turn,
        }
    }

    fn is_idle(&self) -> bool {
        self.writes.is_some() && !self.turn.is_busy.get()
    }

    /// Begins a write on an idle line.
    fn begin(&self, batch: Vec<BuildEvent>) {
        self.turn.is_busy.set(true);
        self.turn.next.set(Some(batch));
    }

    /// Waits until no write is on its way.
    async fn end(&mut self) {
        poll_fn(|context| {
            let Some(writes) = self.writes.as_mut().filter(|_| self.turn.is_busy.get()) else {
                return Poll::Ready(());
            };
            if writes.as_mut().poll(context).is_ready() {
                self.writes = None;
            } else if self.turn.is_busy.get() {
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

impl EventSink {
    pub(crate) fn new(writer: EventWriter) -> Self {
        Self(Rc::new(Shared {
            queue: RefCell::default(),
            line: Mutex::new(Line::new(writer)),
            unheard: Cell::new(false),
            tally: RefCell::default(),
        }))
    }

    /// Sends one event, and those that are queued before it.
    pub async fn emit(&self, mut event: BuildEvent) {
        self.note(&mut event);
        let is_free = |line: &MutexGuard<'_, Line>| line.is_idle() && !self.has_queued();
        // By far the most events come when nothing is on the way; the queue would make them
        // a tenth slower (bench row `sdk events`).
        if let Some(mut line) = self.0.line.try_lock().filter(is_free) {
            line.begin(vec![event]);
            line.end().await;
        } else {
            self.push(event);
            self.flush().await;
        }
    }

    /// Queues an event without waiting; it goes with the next one that is sent, or by
    /// [`flush`](Self::flush).
    pub fn queue(&self, mut event: BuildEvent) {
        self.note(&mut event);
        self.push(event);
    }

    /// Makes the event as the host takes it, and remembers which step it ends.
    fn note(&self, event: &mut BuildEvent) {
        if let BuildEvent::StepEnded(ended) = event {
            self.0.tally.borrow_mut().ended(ended.step, ended.status);
        }
        fit_event(event);
    }

    fn has_queued(&self) -> bool {
        !self.0.queue.borrow().is_empty()
    }

    fn push(&self, event: BuildEvent) {
        if !self.0.unheard.get() {
            self.0.queue.borrow_mut().push_back(event);
        }
    }

    /// Returns when the host has all that was queued.
    pub async fn flush(&self) {
        // Whoever holds the line may write our events too; when we get it, they are
        // written, being written, or still queued.
        let mut line = self.0.line.lock().await;
        loop {
            line.end().await;
            let batch = self.batch();
            if batch.is_empty() {
                return;
            }
            if !line.is_idle() {
                self.0.unheard.set(true);
                self.0.queue.borrow_mut().clear();
                return;
            }
            line.begin(batch);
        }
    }

    fn batch(&self) -> Vec<BuildEvent> {
        let mut queue = self.0.queue.borrow_mut();
        let len = queue.len().min(BATCH);
        queue.drain(..len).collect()
    }

    /// Tells that a step waits for its turn, and returns the handle that tells the rest.
    /// It must come once for each step that the backend takes up.
    pub async fn queue_step(&self, step: StepId) -> QueuedStep {
        self.step_queued(step).await;
        QueuedStep::new(self.clone(), step)
    }

    /// Tells that all steps wait for their turn, and returns their handles, by index.
    pub async fn queue_all(&self, plan: &Plan) -> Vec<QueuedStep> {
        let steps = 0..plan.steps.len() as StepId;
        for step in steps.clone() {
            self.queue(BuildEvent::StepQueued(step));
        }
        self.flush().await;
        steps
            .map(|step| QueuedStep::new(self.clone(), step))
            .collect()
    }

    /// Returns how a step has ended, if it has.
    pub fn status(&self, step: StepId) -> Option<StepStatus> {
        self.0.tally.borrow().status(step)
    }

    /// Returns the verdict that follows from the steps that have ended: failed if one
    /// failed or timed out, else cancelled if one was, else passed.
    pub fn verdict(&self) -> BuildStatus {
        self.0.tally.borrow().verdict()
    }

    /// Gives the reason with which steps end whose handles are dropped from now on.
    pub(crate) fn dropping_because(&self, why: Option<&str>) {
        self.0.tally.borrow_mut().why = why.map(Into::into);
    }

    /// Ends a step whose handle was dropped.
    pub(crate) fn dropped(&self, step: StepId) {
        let why = self.0.tally.borrow().why.clone();
        let ended = StepEnded::new(step, StepStatus::Cancelled);
        self.queue(BuildEvent::StepEnded(match why {
            Some(why) => ended.detail(&*why),
            None => ended,
        }));
    }

    /// Tells that a step waits for its turn. It must be the first event of each step.
    pub async fn step_queued(&self, step: StepId) {
        self.emit(BuildEvent::StepQueued(step)).await;
    }

    /// Tells that a step's command begins to run.
    pub async fn step_started(&self, started: StepStarted) {
        self.emit(BuildEvent::StepStarted(started)).await;
    }

    /// Sends output of a step that runs elsewhere, cut up as the host takes it. The host
    /// puts lines together, so `data` may end anywhere. A step that is run by
    /// [`vm::Machine::run`](crate::vm::Machine::run) has its output sent by the host.
    pub async fn step_output(&self, step: StepId, channel: LogChannel, data: &[u8]) {
        for chunk in data.chunks(MAX_OUTPUT_CHUNK) {
            let data = chunk.to_vec();
            self.emit(BuildEvent::StepOutput(StepOutput {
                step,
                channel,
                data,
            }))
            .await;
        }
    }

    /// Tells that the result of an earlier build stands in for the step.
    pub async fn step_cache_hit(&self, step: StepId) {
        self.emit(BuildEvent::StepCacheHit(step)).await;
    }

    /// Tells how a step ended. It must be the last event of each step.
    pub async fn step_ended(&self, ended: StepEnded) {
        self.emit(BuildEvent::StepEnded(ended)).await;
    }

    /// Tells the user something that is not a step's output.
    pub async fn notice(&self, level: Level, message: impl Into<String>) {
        self.emit(BuildEvent::Notice(Notice::new(level, message)))
            .await;
    }

    /// Sends what is left and ends the stream, whoever still holds a clone.
    pub(crate) async fn close(&self) {
        self.flush().await;
        self.0.unheard.set(true);
        self.0.line.lock().await.writes = None;
    }
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSink")
            .field("queued", &self.0.queue.borrow().len())
            .finish()
    }
}

//! A world without machines, with its own clock, that checks the rules of the `vm`
//! interface and of the events as it goes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::executor::LocalPool;
use futures::future::{Either, select};
use futures::task::LocalSpawnExt;
use hm_backend_sdk::vm::{ExecStatus, VmError};
use hm_backend_sdk::{
    BackendError, BuildEvent, BuildStatus, CancelReason, Edge, EdgeKind, Plan, Step, StepEnded,
    StepId, StepStatus,
};

use crate::driver::{Settings, drive};
use crate::graph::StepGraph;
use crate::world::World;

/// Returns a plain step, whose command takes a second.
pub(crate) fn step(key: &str) -> Step {
    Step {
        key: key.into(),
        label: None,
        command: "true".into(),
        image: Some("host".into()),
        env: Vec::new(),
        timeout_ms: None,
        cacheable: false,
        runner: None,
        runner_args: None,
    }
}

/// Returns a plan of `steps`; those that inherit lose their image.
pub(crate) fn plan(mut steps: Vec<Step>, edges: &[(StepId, StepId, EdgeKind)]) -> Plan {
    let edges: Vec<_> = edges
        .iter()
        .map(|&(before, after, kind)| Edge {
            before,
            after,
            kind,
        })
        .collect();
    for edge in edges.iter().filter(|edge| edge.kind == EdgeKind::BuildsIn) {
        steps[edge.after as usize].image = None;
    }
    Plan {
        pipeline: "test".into(),
        steps,
        edges,
        timeout_ms: None,
        ir_json: "{}".into(),
    }
}

/// How the simulated world behaves; times in seconds.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// How each step's command ends, by key, if not with 0.
    pub(crate) statuses: BTreeMap<String, ExecStatus>,
    /// How long each step's command takes, if not one second.
    pub(crate) seconds: BTreeMap<String, u64>,
    /// Steps that the cache has.
    pub(crate) hits: Vec<String>,
    /// Machines there are.
    pub(crate) machines: usize,
    /// How long a machine occupies its place after it was let go.
    pub(crate) teardown: u64,
    /// How long freezing takes.
    pub(crate) freezing: u64,
    /// What every freeze fails with.
    pub(crate) freeze_error: Option<String>,
    /// What every boot from an image fails with.
    pub(crate) boot_error: Option<VmErrorKind>,
    /// When the host cancels the build.
    pub(crate) cancel_at: Option<u64>,
}

/// Errors that a script can ask for; the interface's own cannot be cloned.
#[derive(Debug, Clone, Copy)]
pub(crate) enum VmErrorKind {
    ImageNotFound,
    Denied,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            statuses: BTreeMap::new(),
            seconds: BTreeMap::new(),
            hits: Vec::new(),
            machines: 64,
            teardown: 0,
            freezing: 0,
            freeze_error: None,
            boot_error: None,
            cancel_at: None,
        }
    }
}

/// What came of a build.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) outcome: Result<BuildStatus, BackendError>,
    /// How each step ended, by index.
    pub(crate) ended: Vec<StepEnded>,
    /// Keys, in the order in which the commands began.
    pub(crate) order: Vec<String>,
    pub(crate) boots: usize,
    pub(crate) freezes: usize,
    /// Keys of the steps whose state the cache took.
    pub(crate) stored: Vec<String>,
    pub(crate) notices: Vec<String>,
    pub(crate) most_running: usize,
    pub(crate) most_held: usize,
    /// Simulated seconds.
    pub(crate) took: u64,
    /// Snapshots and machines that were not let go by the end.
    pub(crate) leaked: usize,
}

impl Played {
    /// Returns the statuses, by index.
    pub(crate) fn statuses(&self) -> Vec<StepStatus> {
        self.ended.iter().map(|ended| ended.status).collect()
    }

    /// Returns the detail of a step's end.
    pub(crate) fn detail(&self, step: usize) -> &str {
        self.ended[step].detail.as_deref().unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    Nothing,
    Queued,
    Started,
    Hit,
    Ended,
}

/// What a machine or a snapshot holds: the state that this step left behind, the image,
/// or something in between.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Content {
    Image,
    LeftBy(StepId),
    Unclean,
}

struct Sim {
    plan: Plan,
    script: Script,
    now: u64,
    timers: Vec<(u64, Waker)>,
    queue: Vec<BuildEvent>,
    told: Vec<Told>,
    ended: Vec<Option<StepEnded>>,
    order: Vec<String>,
    stored: Vec<String>,
    notices: Vec<String>,
    running: usize,
    most_running: usize,
    held: usize,
    most_held: usize,
    /// When machines that were let go give their places back.
    tearing_down: Vec<u64>,
    snapshots: usize,
    boots: usize,
    freezes: usize,
}

#[derive(Clone)]
struct SimWorld(Rc<RefCell<Sim>>);

struct SimMachine {
    sim: SimWorld,
    content: RefCell<Content>,
}

struct SimSnapshot {
    sim: SimWorld,
    content: Content,
}

impl Drop for SimMachine {
    fn drop(&mut self) {
        let mut sim = self.sim.0.borrow_mut();
        sim.held -= 1;
        let free_at = sim.now + sim.script.teardown;
        sim.tearing_down.push(free_at);
    }
}

impl Drop for SimSnapshot {
    fn drop(&mut self) {
        self.sim.0.borrow_mut().snapshots -= 1;
    }
}

/// Counts a command as running until it ends or is dropped.
struct Running(SimWorld);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.borrow_mut().running -= 1;
    }
}

impl SimWorld {
    fn sleep(&self, seconds: u64) -> impl Future<Output = ()> + use<> {
        let until = self.0.borrow().now + seconds;
        let sim = Rc::clone(&self.0);
        poll_fn(move |context| {
            let mut sim = sim.borrow_mut();
            if sim.now >= until {
                return Poll::Ready(());
            }
            sim.timers.push((until, context.waker().clone()));
            Poll::Pending
        })
    }

    fn boot(&self, step: StepId, content: Content) -> Result<SimMachine, VmError> {
        let mut sim = self.0.borrow_mut();
        let now = sim.now;
        sim.tearing_down.retain(|&at| at > now);
        assert_eq!(
            sim.told[step as usize],
            Told::Started,
            "booted before it was started"
        );
        if sim.held + sim.tearing_down.len() >= sim.script.machines {
            return Err(VmError::Limit(format!("machines {}", sim.script.machines)));
        }
        sim.held += 1;
        sim.boots += 1;
        sim.most_held = sim.most_held.max(sim.held);
        Ok(SimMachine {
            sim: self.clone(),
            content: RefCell::new(content),
        })
    }

    fn snapshot(&self, content: Content) -> SimSnapshot {
        self.0.borrow_mut().snapshots += 1;
        SimSnapshot {
            sim: self.clone(),
            content,
        }
    }

    fn base(&self, step: StepId) -> Content {
        let sim = self.0.borrow();
        let inherits = |edge: &&Edge| edge.after == step && edge.kind == EdgeKind::BuildsIn;
        sim.plan
            .edges
            .iter()
            .find(inherits)
            .map_or(Content::Image, |e| Content::LeftBy(e.before))
    }

    fn key(&self, step: StepId) -> String {
        self.0.borrow().plan.steps[step as usize].key.clone()
    }
}

impl World for SimWorld {
    type Machine = SimMachine;
    type Snapshot = SimSnapshot;

    async fn boot_image(&self, step: StepId, image: &str) -> Result<SimMachine, VmError> {
        assert_eq!(image, "host");
        match self.0.borrow().script.boot_error {
            Some(VmErrorKind::ImageNotFound) => {
                return Err(VmError::ImageNotFound("no image".into()));
            }
            Some(VmErrorKind::Denied) => return Err(VmError::Denied("not granted".into())),
            None => {}
        }
        self.boot(step, Content::Image)
    }

    async fn boot_snapshot(
        &self,
        step: StepId,
        snapshot: &SimSnapshot,
    ) -> Result<SimMachine, VmError> {
        self.boot(step, snapshot.content)
    }

    async fn run(&self, machine: &SimMachine, step: StepId) -> Result<ExecStatus, VmError> {
        assert_eq!(
            *machine.content.borrow(),
            self.base(step),
            "not the step's own base"
        );
        *machine.content.borrow_mut() = Content::Unclean;
        let key = self.key(step);
        let (seconds, status) = {
            let mut sim = self.0.borrow_mut();
            assert_eq!(
                sim.told[step as usize],
                Told::Started,
                "run before it was started"
            );
            sim.order.push(key.clone());
            sim.running += 1;
            sim.most_running = sim.most_running.max(sim.running);
            let seconds = sim.script.seconds.get(&key).copied().unwrap_or(1);
            (
                seconds,
                sim.script
                    .statuses
                    .get(&key)
                    .copied()
                    .unwrap_or(ExecStatus::Exited(0)),
            )
        };
        let running = Running(self.clone());
        self.sleep(seconds).await;
        drop(running);
        *machine.content.borrow_mut() = Content::LeftBy(step);
        Ok(status)
    }

    async fn freeze(&self, machine: &SimMachine) -> Result<SimSnapshot, VmError> {
        let (seconds, error) = {
            let mut sim = self.0.borrow_mut();
            sim.freezes += 1;
            (sim.script.freezing, sim.script.freeze_error.clone())
        };
        self.sleep(seconds).await;
        match error {
            Some(text) => Err(VmError::Other(text)),
            None => Ok(self.snapshot(*machine.content.borrow())),
        }
    }

    async fn lookup(
        &self,
        step: StepId,
        parent: Option<&SimSnapshot>,
    ) -> Result<Option<SimSnapshot>, VmError> {
        let base = parent.map_or(Content::Image, |parent| parent.content);
        assert_eq!(base, self.base(step), "asked by another step's state");
        let hit = self.0.borrow().script.hits.contains(&self.key(step));
        Ok(hit.then(|| self.snapshot(Content::LeftBy(step))))
    }

    async fn store(&self, step: StepId, snapshot: &SimSnapshot) -> Result<(), VmError> {
        assert_eq!(
            snapshot.content,
            Content::LeftBy(step),
            "stored another step's state"
        );
        let key = self.key(step);
        self.0.borrow_mut().stored.push(key);
        Ok(())
    }

    async fn pause(&self, _duration: Duration) {
        self.sleep(1).await;
    }

    fn queue(&self, event: BuildEvent) {
        self.0.borrow_mut().queue.push(event);
    }

    async fn flush(&self) {
        let mut sim = self.0.borrow_mut();
        for event in std::mem::take(&mut sim.queue) {
            sim.hear(event);
        }
    }
}

impl Sim {
    /// Holds an event to the order table.
    fn hear(&mut self, event: BuildEvent) {
        match event {
            BuildEvent::StepQueued(step) => self.advance(step, &[Told::Nothing], Told::Queued),
            BuildEvent::StepStarted(started) => {
                for edge in self
                    .plan
                    .edges
                    .iter()
                    .filter(|edge| edge.after == started.step)
                {
                    let before = edge.before as usize;
                    assert_eq!(self.told[before], Told::Ended, "started too early");
                }
                assert_eq!(started.image, self.plan.steps[started.step as usize].image);
                self.advance(started.step, &[Told::Queued], Told::Started);
            }
            BuildEvent::StepCacheHit(step) => self.advance(step, &[Told::Queued], Told::Hit),
            BuildEvent::StepEnded(ended) => {
                let from: &[Told] = match ended.status {
                    StepStatus::Passed | StepStatus::Failed | StepStatus::TimedOut => {
                        &[Told::Started]
                    }
                    StepStatus::CacheHit => &[Told::Hit],
                    StepStatus::Skipped => &[Told::Queued],
                    StepStatus::Cancelled => &[Told::Queued, Told::Started],
                };
                self.advance(ended.step, from, Told::Ended);
                let step = ended.step as usize;
                self.ended[step] = Some(ended);
            }
            BuildEvent::Notice(notice) => self.notices.push(notice.message),
            other => panic!("not an event of this backend: {other:?}"),
        }
    }

    fn advance(&mut self, step: StepId, from: &[Told], to: Told) {
        let told = &mut self.told[step as usize];
        assert!(
            from.contains(told),
            "step {step} goes from {told:?} to {to:?}"
        );
        *told = to;
    }

    /// Lets the time pass until something happens; false if nothing will.
    fn wait(&mut self) -> bool {
        let Some(next) = self.timers.iter().map(|(at, _)| *at).min() else {
            return false;
        };
        self.now = next;
        for (_, waker) in self.timers.extract_if(.., |(at, _)| *at <= next) {
            waker.wake();
        }
        true
    }
}

/// Plays a build to its end.
pub(crate) fn play(plan: Plan, settings: Settings, script: Script) -> Played {
    let steps = plan.steps.len();
    let cancel_at = script.cancel_at;
    let sim = Rc::new(RefCell::new(Sim {
        plan: plan.clone(),
        script,
        now: 0,
        timers: Vec::new(),
        queue: Vec::new(),
        told: vec![Told::Nothing; steps],
        ended: vec![None; steps],
        order: Vec::new(),
        stored: Vec::new(),
        notices: Vec::new(),
        running: 0,
        most_running: 0,
        held: 0,
        most_held: 0,
        tearing_down: Vec::new(),
        snapshots: 0,
        boots: 0,
        freezes: 0,
    }));
    let world = SimWorld(Rc::clone(&sim));
    let mut pool = LocalPool::new();
    let build = async move {
        let graph = StepGraph::new(plan.steps.len(), &plan.edges).unwrap();
        let cancelled = async {
            match cancel_at {
                Some(at) => world.sleep(at).await,
                None => std::future::pending().await,
            }
            CancelReason::Interrupted
        };
        let outcome = drive(&world, &plan, graph, settings, cancelled).await;
        world.flush().await;
        outcome
    };
    let mut build = pool.spawner().spawn_local_with_handle(build).unwrap();
    let outcome = loop {
        pool.run_until_stalled();
        let polled = pool.run_until(async {
            match select(&mut build, std::future::ready(())).await {
                Either::Left((outcome, _)) => Some(outcome),
                Either::Right(_) => None,
            }
        });
        match polled {
            Some(outcome) => break outcome,
            None => assert!(sim.borrow_mut().wait(), "the build waits for nothing"),
        }
    };
    drop(build);
    let sim = sim.borrow();
    Played {
        outcome,
        ended: sim
            .ended
            .iter()
            .map(|ended| ended.clone().expect("every step ends"))
            .collect(),
        order: sim.order.clone(),
        boots: sim.boots,
        freezes: sim.freezes,
        stored: sim.stored.clone(),
        notices: sim.notices.clone(),
        most_running: sim.most_running,
        most_held: sim.most_held,
        took: sim.now,
        leaked: sim.held + sim.snapshots,
    }
}

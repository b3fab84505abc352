//! One instance of the component, from its store to its end.

use std::sync::Arc;
use std::time::Duration;

use hm_plugin_protocol::BuildStatus;
use tokio::sync::{oneshot, watch};
use wasmtime::component::Accessor;
use wasmtime::{Store, Trap, UpdateDeadline};

use super::guest::{Events, Once};
use super::meter::{Measured, Meter};
use super::{Session, conversion};
use crate::api::{BackendError, Broken, Wish};
use crate::capability::State;
use crate::component::bindings::hm::backend::types as wit;
use crate::component::{LimitHit, Limits, Ready, Runtime, STACK_BYTES};
use crate::sequencer::Violation;
use crate::sequencer::clean::message;

/// From the end of the guest's last task until its silence is final: the ends of its
/// streams arrive by tasks of the engine.
const AFTERGLOW: Duration = Duration::from_secs(2);

/// Between two looks at a guest that may have fallen silent.
const LOOK_LEAST: Duration = Duration::from_millis(20);
const LOOK_MOST: Duration = Duration::from_secs(1);

/// How an instance ended.
pub(super) enum Ended {
    /// With a verdict, which is not judged yet.
    Outcome(BuildStatus),
    /// Without one.
    Error(BackendError),
}

/// What the guest is doing, and how long it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Instantiating,
    Describing,
    Starting,
    Running,
    /// The events have ended, the outcome has not come.
    Concluding,
}

impl Phase {
    /// Returns the key of the limit on it, and what it is called.
    fn limit(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Instantiating => Some(("instantiate", "its instantiation")),
            Self::Describing => Some(("describe", "`describe`")),
            Self::Starting => Some(("start", "`start`")),
            Self::Running => None,
            Self::Concluding => Some(("outcome", "the outcome, after the end of the events,")),
        }
    }

    /// Returns how long it may take.
    fn time(self, limits: &Limits) -> Option<Duration> {
        match self {
            Self::Instantiating => Some(limits.instantiate),
            Self::Describing => Some(limits.describe),
            Self::Starting => Some(limits.start),
            Self::Running => None,
            Self::Concluding => Some(limits.outcome),
        }
    }
}

/// Runs the component for one build. When this returns, the store and all that the guest
/// held in it is dropped. `taken` is told once the backend has taken the build.
pub(super) async fn run(
    runtime: &Runtime,
    ready: &Ready,
    session: &Arc<Session>,
    request: wit::RunRequest,
    asks_vm: bool,
    taken: oneshot::Sender<()>,
) -> Ended {
    let limits = session.limits();
    let meter = Meter::new();
    let mut store = match store(runtime, session, meter.clone()) {
        Ok(store) => store,
        Err(error) => return Ended::Error(session.broken(Broken::Host(format!("{error:#}")))),
    };
    let (phase, phases) = watch::channel(Phase::Instantiating);
    let ended = {
        let work = work(&mut store, ready, session, request, asks_vm, &phase, taken);
        let work = Measured::new(work, meter.clone());
        // Around all of the work: inside it, a timeout can be starved by the guest.
        tokio::select! {
            biased;
            ended = work => ended,
            phase = overrun(phases.clone(), limits) => Ok(Ended::Error(session.overran(phase))),
            broken = session.falls_silent(phases) => Ok(Ended::Error(session.broken(broken))),
            limit = session.exceeded() => {
                Ok(Ended::Error(session.broken(Broken::Limit(limit))))
            }
            () = session.killed(limits.grace) => Ok(Ended::Error(BackendError::Cancelled)),
        }
    };
    // The guest may have come to its end before the limit that it passed was looked at.
    if let Some(limit) = session.passed_limit() {
        return Ended::Error(session.broken(Broken::Limit(limit)));
    }
    ended.unwrap_or_else(|error| {
        let hit = store.data().limiter.hit().cloned();
        Ended::Error(session.broken_by(&error, hit, limits))
    })
}

fn store(
    runtime: &Runtime,
    session: &Arc<Session>,
    meter: Arc<Meter>,
) -> wasmtime::Result<Store<State>> {
    let limits = session.limits();
    let mut store = Store::new(runtime.engine(), State::new(limits, session.clone()));
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(limits.call_bytes);
    store.set_max_component_handles(limits.handles);
    if let Some(table) = store.concurrent_resource_table() {
        table.set_max_capacity(limits.concurrent);
    }
    let most = limits.cpu;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        Ok(if meter.so_far() > most {
            UpdateDeadline::Interrupt
        } else {
            UpdateDeadline::Yield(1)
        })
    });
    Ok(store)
}

async fn work(
    store: &mut Store<State>,
    ready: &Ready,
    session: &Arc<Session>,
    request: wit::RunRequest,
    asks_vm: bool,
    phase: &watch::Sender<Phase>,
    taken: oneshot::Sender<()>,
) -> wasmtime::Result<Ended> {
    let instance = ready.instantiate_async(&mut *store).await?;
    let backend = instance.hm_backend_execution_backend();
    phase.send_replace(Phase::Describing);
    store.data_mut().is_describing = true;
    let description = backend.call_describe(&mut *store).await?;
    store.data_mut().is_describing = false;
    check_name(&description)?;
    let capabilities = conversion::capabilities(description.capabilities);
    if !session.ledger().is_watched() && !capabilities.supports_no_watch {
        return Ok(Ended::Error(BackendError::Rejected {
            code: "no-watch".into(),
            message: format!(
                "the backend `{}` cannot leave a build before its end",
                session.backend()
            ),
        }));
    }
    let _ = session.described.set(capabilities);
    // Who runs steps on this machine is held to what the host sees.
    session
        .ledger()
        .observe_only(capabilities.is_observer && !asks_vm);
    phase.send_replace(Phase::Starting);
    store
        .run_concurrent(async |accessor| {
            let build = match backend.call_start(accessor, request).await? {
                Ok(build) => build,
                Err(refused) => {
                    return Ok(Ended::Error(conversion::error(session, refused)));
                }
            };
            let _ = taken.send(());
            phase.send_replace(Phase::Running);
            let (ended_sender, ended) = oneshot::channel();
            let (outcome_sender, outcome) = oneshot::channel();
            accessor.with(|mut access| {
                build
                    .events
                    .pipe(&mut access, Events::new(session.clone(), ended_sender))?;
                build.outcome.pipe(&mut access, Once(Some(outcome_sender)))
            })?;
            conclude(accessor, session, phase, ended, outcome).await
        })
        .await?
}

/// Waits for the end of the events, and then for the outcome.
async fn conclude(
    accessor: &Accessor<State>,
    session: &Session,
    phase: &watch::Sender<Phase>,
    mut ended: oneshot::Receiver<Result<(), Violation>>,
    mut outcome: oneshot::Receiver<Result<wit::BuildStatus, wit::BackendError>>,
) -> wasmtime::Result<Ended> {
    tokio::select! {
        biased;
        end = &mut ended => end.unwrap_or(Ok(()))?,
        early = &mut outcome => {
            // The consumer of the events is always dropped before the outcome's is polled.
            ended.try_recv().map_err(|_| {
                Violation("the outcome came before the end of the events".into())
            })??;
            return settle(session, early);
        }
        () = idle(accessor) => {
            let text = "its code ended while its events were open";
            return Ok(Ended::Error(session.broken(Broken::Silent(text.into()))));
        }
    }
    phase.send_replace(Phase::Concluding);
    settle(session, outcome.await)
}

/// Returns when no task of the guest is left that could still say something, and what it
/// said before has had time to arrive.
async fn idle(accessor: &Accessor<State>) {
    std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
    tokio::time::sleep(AFTERGLOW).await;
}

fn settle(
    session: &Session,
    outcome: Result<Result<wit::BuildStatus, wit::BackendError>, oneshot::error::RecvError>,
) -> wasmtime::Result<Ended> {
    Ok(match outcome {
        Ok(Ok(status)) => Ended::Outcome(conversion::status(status)),
        Ok(Err(error)) => Ended::Error(conversion::error(session, error)),
        Err(_) => {
            Ended::Error(session.broken(Broken::Silent("it ended without an outcome".into())))
        }
    })
}

/// A described name is shown only; still it has a grammar.
fn check_name(description: &wit::Description) -> Result<(), Violation> {
    let name = &description.name;
    let is_name = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !is_name {
        return Err(Violation(
            "`describe` gives a name that is not [a-z0-9-]{1,64}".into(),
        ));
    }
    if description.version.len() > 64 {
        return Err(Violation(
            "`describe` gives a version of more than 64 bytes".into(),
        ));
    }
    Ok(())
}

/// Returns when the guest takes longer for something than it may.
async fn overrun(mut phases: watch::Receiver<Phase>, limits: &Limits) -> Phase {
    loop {
        let phase = *phases.borrow_and_update();
        match phase.time(limits) {
            Some(limit) => tokio::select! {
                () = tokio::time::sleep(limit) => return phase,
                changed = phases.changed() => if changed.is_err() { std::future::pending().await },
            },
            None => {
                if phases.changed().await.is_err() {
                    std::future::pending().await
                }
            }
        }
    }
}

impl Session {
    /// Returns when the instance must be gone: killed, or cancelled and its grace is over.
    async fn killed(&self, grace: Duration) {
        self.cancelled().await;
        let mut wish = self.wish.clone();
        let kill = wish.wait_for(|wish| matches!(wish, Wish::Kill(_)));
        let _ = tokio::time::timeout(grace, kill).await;
    }

    /// Returns why the guest will never end its events, once it is sure that it will not: it
    /// has told the end of every step, and does nothing more.
    async fn falls_silent(&self, mut phases: watch::Receiver<Phase>) -> Broken {
        let patience = self.limits().outcome;
        // A service that was asked too often wants to be left alone for a while.
        let at_the_end = patience * if self.http().is_some() { 4 } else { 1 };
        let is_running = |phase: &Phase| *phase == Phase::Running;
        loop {
            if phases.wait_for(is_running).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep((patience / 8).clamp(LOOK_LEAST, LOOK_MOST)).await;
            if !is_running(&phases.borrow()) {
                continue;
            }
            let is_over = self.ledger().is_all_done();
            if is_over
                && self
                    .activity
                    .silence()
                    .is_some_and(|time| time >= at_the_end)
            {
                return Broken::Slow {
                    what: "the end of the events, after that of the last step,".into(),
                    limit: LimitHit::of("outcome", self.limits()),
                };
            }
        }
    }

    pub(super) fn broken(&self, broken: Broken) -> BackendError {
        BackendError::Broken {
            name: self.backend().to_owned(),
            broken,
        }
    }

    pub(super) fn broke_protocol(&self, violation: Violation) -> BackendError {
        self.broken(Broken::Protocol(violation.0))
    }

    /// Says that the guest took too long for something.
    fn overran(&self, phase: Phase) -> BackendError {
        let Some((key, what)) = phase.limit() else {
            return self.broken(Broken::Silent("it took too long".into()));
        };
        self.broken(Broken::Slow {
            what: what.into(),
            limit: LimitHit::of(key, self.limits()),
        })
    }

    /// Says why the guest's code ended.
    fn broken_by(
        &self,
        error: &wasmtime::Error,
        hit: Option<LimitHit>,
        limits: &Limits,
    ) -> BackendError {
        if let Some(violation) = error.downcast_ref::<Violation>() {
            return self.broke_protocol(violation.clone());
        }
        if let Some(hit) = hit.or_else(|| error.downcast_ref::<LimitHit>().cloned()) {
            return self.broken(Broken::Limit(hit));
        }
        let text = format!("{error:#}");
        tracing::debug!(target: "hm::backend", "{}", message(&text));
        if let Some(hit) = engine_limit(error, &text, limits) {
            return self.broken(Broken::Limit(hit));
        }
        self.broken(Broken::Trap(match error.downcast_ref::<Trap>() {
            Some(trap) => self
                .last_words()
                .unwrap_or_else(|| message(&trap.to_string())),
            None => message(&error.root_cause().to_string()),
        }))
    }
}

/// Returns the limit that the engine held, told by its error. Most of them have no type of
/// their own.
fn engine_limit(error: &wasmtime::Error, text: &str, limits: &Limits) -> Option<LimitHit> {
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => return Some(LimitHit::of("cpu", limits)),
        Some(Trap::StackOverflow) => {
            return Some(LimitHit::fixed(format!("stack {} KiB", STACK_BYTES >> 10)));
        }
        Some(_) => return None,
        None => {}
    }
    let key = [
        ("hostcalls", "call-data"),
        ("handle limit", "handles"),
        // These go to tables of their own.
        ("to table: resource table has no free keys", "http-handles"),
        ("no free keys", "tasks"),
        ("memory count too high", "memories"),
        ("table count too high", "tables"),
        ("instance count too high", "instances"),
    ]
    .into_iter()
    .find(|(words, _)| text.contains(words))
    .map(|(_, key)| key)?;
    Some(LimitHit::of(key, limits))
}

//! A build that is about to be simulated.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, select};
use hm_backend_sdk::source::TreeInfo;
use hm_backend_sdk::vm::VmError;
use hm_backend_sdk::world::{build, build_with, enter};
use hm_backend_sdk::{
    Backend, BackendError, BuildStatus, CancelReason, Cancellation, Capabilities, EventSink,
    RunRequest,
};

use crate::check::Rules;
use crate::clock::{Clock, Stuck, run};
use crate::machines::Machines;
use crate::server::nanoseconds;
use crate::world::{Host, Serve, Shared, Signal};
use crate::{Answer, Command, Outcome, Pipeline, Played, ServerRequest};

/// Time that a backend has to end a build which is to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Machines that a build holds at one time, at least.
const MACHINES: usize = 64;

/// Calls up to which each is tried as the one at which a build is cancelled.
const CALLS: u64 = 10_000;

/// A pipeline, and the world in which a backend runs it. See the [crate](crate).
pub struct Simulation {
    pipeline: Pipeline,
    request: RunRequest,
    machines: Machines,
    server: Serve,
    source: Result<(TreeInfo, Vec<u8>), String>,
    has_source: bool,
    cancel: Option<(Duration, CancelReason)>,
    cancel_at_call: Option<u64>,
}

impl Simulation {
    /// A world in which all commands pass after a second, the cache has nothing, no server
    /// answers, and everything is granted.
    pub fn of(pipeline: Pipeline) -> Self {
        let nobody = |_: &ServerRequest| Answer::fails(hm_backend_sdk::http::Failure::Refused);
        let empty = TreeInfo {
            file_count: 0,
            total_bytes: 0,
        };
        Self {
            request: pipeline.clone().into_request(),
            pipeline,
            machines: Machines::new(MACHINES),
            server: Box::new(nobody),
            source: Ok((empty, Vec::new())),
            has_source: true,
            cancel: None,
            cancel_at_call: None,
        }
    }

    /// Lets a step's command go like this. Given again, it goes like that the next time;
    /// the last one stays.
    ///
    /// # Panics
    /// If there is no such step.
    #[must_use]
    pub fn command(mut self, step: &str, command: Command) -> Self {
        let step = self.pipeline.index(step);
        let commands = self.machines.commands.entry(step).or_default();
        commands.push_back(command);
        self
    }

    /// Lets another command of the backend's go like this; as [`command`](Self::command).
    #[must_use]
    pub fn exec(mut self, text: &str, command: Command) -> Self {
        let commands = self.machines.execs.entry(text.into()).or_default();
        commands.push_back(command);
        self
    }

    /// Lets the next boot for a step fail; given again, the one after it too.
    ///
    /// # Panics
    /// If there is no such step.
    #[must_use]
    pub fn fail_boot(mut self, step: &str, error: VmError) -> Self {
        let step = self.pipeline.index(step);
        let failures = self.machines.boot_failures.entry(step).or_default();
        failures.push_back(error);
        self
    }

    /// Lets every freezing of a machine fail.
    #[must_use]
    pub fn fail_freezing(mut self, error: VmError) -> Self {
        self.machines.freeze_failure = Some(error);
        self
    }

    /// Lets the build hold that many machines at one time; 64 if not said.
    #[must_use]
    pub fn machines(mut self, limit: usize) -> Self {
        self.machines.limit = limit;
        self
    }

    /// Lets the cache have what a step leaves behind.
    ///
    /// # Panics
    /// If there is no such step.
    #[must_use]
    pub fn cached(mut self, step: &str) -> Self {
        let step = self.pipeline.index(step);
        self.machines.cached.insert(step);
        self
    }

    /// Answers requests, whichever host they go to.
    #[must_use]
    pub fn server(mut self, serve: impl FnMut(&ServerRequest) -> Answer + 'static) -> Self {
        self.server = Box::new(serve);
        self
    }

    /// Gives the source tree: its size, and the bytes of its archive.
    #[must_use]
    pub fn source(mut self, file_count: u64, archive: impl Into<Vec<u8>>) -> Self {
        let archive = archive.into();
        let total_bytes = archive.len() as u64;
        let info = TreeInfo {
            file_count,
            total_bytes,
        };
        self.source = Ok((info, archive));
        self
    }

    /// Lets the source be unreadable.
    #[must_use]
    pub fn fail_source(mut self, why: &str) -> Self {
        self.source = Err(why.into());
        self
    }

    /// Does not grant `source`, which commands other than the steps' own need too.
    #[must_use]
    pub fn without_source(mut self) -> Self {
        self.has_source = false;
        self.source = Err("not granted".into());
        self
    }

    /// Sets one of the user's settings.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.settings.push((name.into(), value.into()));
        self
    }

    /// Runs that many steps at once; two if not said.
    #[must_use]
    pub fn parallelism(mut self, steps: u32) -> Self {
        self.request.options.parallelism = steps;
        self
    }

    /// As `--keep-going`.
    #[must_use]
    pub fn keep_going(mut self) -> Self {
        self.request.options.keep_going = true;
        self
    }

    /// As `--no-watch`.
    #[must_use]
    pub fn no_watch(mut self) -> Self {
        self.request.options.watch = false;
        self
    }

    /// As `--no-cache`: the host's cache answers nothing either.
    #[must_use]
    pub fn no_cache(mut self) -> Self {
        self.request.options.no_cache = true;
        self.machines.cached = BTreeSet::new();
        self
    }

    /// Interrupts the build after that time.
    #[must_use]
    pub fn cancel_after(mut self, time: Duration) -> Self {
        self.cancel = Some((time, CancelReason::Interrupted));
        self
    }

    /// Lets the build's time be over.
    #[must_use]
    pub fn time_out_after(mut self, time: Duration) -> Self {
        self.cancel = Some((time, CancelReason::TimedOut));
        self
    }

    /// Interrupts the build as the backend makes its nth call to the host, from 1.
    #[must_use]
    pub fn cancel_at_call(mut self, call: u64) -> Self {
        self.cancel_at_call = Some(call);
        self
    }

    /// Simulates the build once for each call that the backend makes to its host,
    /// interrupted there, and gives each to `check`: no step may be left open, no machine
    /// held, no rule broken, wherever a build is stopped. Returns how many there were.
    ///
    /// # Panics
    /// What `check` panics with, and if there are more than 10 000 calls.
    pub fn each_cancellation<B: Backend>(
        make: impl Fn() -> Self,
        mut check: impl FnMut(u64, &Played),
    ) -> u64 {
        for call in 1..=CALLS {
            let played = make().cancel_at_call(call).run::<B>();
            if !played.was_cancelled() {
                return call - 1;
            }
            check(call, &played);
        }
        panic!("the build has more than {CALLS} calls");
    }

    /// Runs the build of backend `B` to its end.
    pub fn run<B: Backend>(self) -> Played {
        // Who runs steps in machines is held to what is seen there.
        let is_observer = B::describe().capabilities.contains(Capabilities::OBSERVER);
        self.play(is_observer, build::<B>)
    }

    /// Runs `work` as if it were the `run` of an observing backend; for tests of a part of
    /// one.
    pub fn run_with<F>(self, work: F) -> Played
    where
        F: AsyncFnOnce(RunRequest, EventSink, Cancellation) -> Result<BuildStatus, BackendError>,
    {
        self.play(true, async |request| Ok(build_with(request, work).await))
    }

    fn play(
        self,
        is_observer: bool,
        work: impl AsyncFnOnce(RunRequest) -> Result<Result<BuildStatus, BackendError>, BackendError>,
    ) -> Played {
        let plan = &self.request.plan;
        let clock = Clock::default();
        let milliseconds = |ms: u64| ms.saturating_mul(1_000_000);
        let limits = plan.steps.iter().map(|step| step.timeout_ms);
        let rules = Rules::new(plan, is_observer, self.request.options.watch);
        let host = Rc::new(Host {
            clock: clock.clone(),
            rules: RefCell::new(rules),
            machines: RefCell::new(self.machines),
            events: RefCell::default(),
            log: RefCell::default(),
            requests: RefCell::default(),
            server: RefCell::new(self.server),
            source: self.source,
            has_source: self.has_source,
            wish: Signal::new(),
            broken: Signal::new(),
            calls: Cell::new(0),
            cancel_at_call: self.cancel_at_call,
            timeouts: limits.map(|limit| limit.map(milliseconds)).collect(),
        });
        let _entered = enter(Rc::new(Shared(Rc::clone(&host))));
        let outcome = run(&clock, ended(&host, work(self.request), self.cancel));
        let outcome = outcome.unwrap_or_else(|stuck| {
            Outcome::Broken(match stuck {
                Stuck::Waiting => "it waits for what never comes".into(),
                Stuck::Circling => "it runs in circles and waits for nothing".into(),
            })
        });
        Played::new(&host, self.pipeline, outcome)
    }
}

/// Runs `work` to its own end, or to the one that its host makes of it.
async fn ended(
    host: &Host,
    work: impl Future<Output = Result<Result<BuildStatus, BackendError>, BackendError>>,
    cancel: Option<(Duration, CancelReason)>,
) -> Outcome {
    let asked = async {
        match cancel {
            Some((time, reason)) => {
                host.clock.wait(nanoseconds(time)).await;
                host.wish.set(reason);
            }
            None => std::future::pending().await,
        }
    };
    let killed = async {
        select(pin!(asked), pin!(host.wish.wait())).await;
        host.clock.wait(nanoseconds(GRACE)).await;
        Outcome::Killed
    };
    let broken = async { Outcome::Broken(host.broken.wait().await) };
    let (killed, broken) = (pin!(killed), pin!(broken));
    match select(select(killed, broken), pin!(work)).await {
        Either::Left((Either::Left((outcome, _)) | Either::Right((outcome, _)), _)) => outcome,
        Either::Right((result, _)) => settle(host, result),
    }
}

/// Holds what the backend claims against what was seen.
fn settle(host: &Host, result: Result<Result<BuildStatus, BackendError>, BackendError>) -> Outcome {
    let claimed = match result {
        Err(refused) => return Outcome::Refused(refused),
        Ok(claimed) => claimed,
    };
    let rules = host.rules.borrow();
    let wish = host.wish.get();
    if let Err(broken) = rules.closed(wish.is_some()) {
        return Outcome::Broken(broken);
    }
    // The host's own reason, whatever is claimed.
    if let Some(reason) = wish {
        return Outcome::Cancelled(reason);
    }
    match claimed {
        Err(error) => Outcome::Error(error),
        Ok(status) => match rules.judge(status) {
            Ok(()) => Outcome::Ended(status),
            Err(broken) => Outcome::Broken(broken),
        },
    }
}

//! The host's side of every call.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::future::{Either, FutureExt, LocalBoxFuture, select};
use futures::stream::{LocalBoxStream, StreamExt};
use hm_backend_sdk::http::Failure;
use hm_backend_sdk::source::TreeInfo;
use hm_backend_sdk::vm::{ExecSpec, ExecStatus, MachineOptions, VmError};
use hm_backend_sdk::world::{ExecParts, Id, Incoming, Origin, Outgoing, Severity, World};
use hm_backend_sdk::{BuildEvent, CancelReason, StepId};

use crate::check::{Broken, Rules};
use crate::clock::{Clock, give_way};
use crate::machines::{Machines, State};
use crate::server::{Answer, ServerRequest, nanoseconds};

/// A thing that happens once and is waited for.
#[derive(Debug)]
pub(crate) struct Signal<T> {
    value: RefCell<Option<T>>,
    wakers: RefCell<Vec<Waker>>,
}

impl<T: Clone> Signal<T> {
    pub(crate) fn new() -> Self {
        Self {
            value: RefCell::new(None),
            wakers: RefCell::default(),
        }
    }

    /// Lets it happen; the first time counts.
    pub(crate) fn set(&self, value: T) {
        self.value.borrow_mut().get_or_insert(value);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }

    pub(crate) fn get(&self) -> Option<T> {
        self.value.borrow().clone()
    }

    pub(crate) async fn wait(&self) -> T {
        poll_fn(|context| match self.get() {
            Some(value) => Poll::Ready(value),
            None => {
                self.wakers.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

/// What a scripted server does.
pub(crate) type Serve = Box<dyn FnMut(&ServerRequest) -> Answer>;

/// The simulated host of one build.
pub(crate) struct Host {
    pub(crate) clock: Clock,
    pub(crate) rules: RefCell<Rules>,
    pub(crate) machines: RefCell<Machines>,
    pub(crate) events: RefCell<Vec<(Duration, BuildEvent)>>,
    pub(crate) log: RefCell<Vec<(Severity, String)>>,
    pub(crate) requests: RefCell<Vec<ServerRequest>>,
    pub(crate) server: RefCell<Serve>,
    pub(crate) source: Result<(TreeInfo, Vec<u8>), String>,
    pub(crate) has_source: bool,
    pub(crate) wish: Signal<CancelReason>,
    pub(crate) broken: Signal<Broken>,
    /// Calls so far, and the one at which the build is cancelled.
    pub(crate) calls: Cell<u64>,
    pub(crate) cancel_at_call: Option<u64>,
    pub(crate) timeouts: Vec<Option<u64>>,
}

/// A world is shared by the calls that are under way in it.
pub(crate) struct Shared(pub(crate) Rc<Host>);

impl Host {
    /// Notes a call, at which the build may be cancelled, and lets others go first.
    async fn call(&self) {
        self.calls.set(self.calls.get() + 1);
        if self.cancel_at_call == Some(self.calls.get()) {
            self.wish.set(CancelReason::Interrupted);
        }
        give_way().await;
    }

    /// Ends the build as broken: the call never returns.
    async fn violate<T>(&self, broken: Broken) -> T {
        self.broken.set(broken);
        std::future::pending().await
    }

    async fn checked<T>(&self, result: Result<T, Broken>) -> T {
        match result {
            Ok(value) => value,
            Err(broken) => self.violate(broken).await,
        }
    }

    /// Does `work` unless the build is being cancelled, as all calls of machines do.
    async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, VmError>>,
    ) -> Result<T, VmError> {
        match select(std::pin::pin!(self.wish.wait()), std::pin::pin!(work)).await {
            Either::Left(_) => Err(VmError::Cancelled),
            Either::Right((result, _)) => result,
        }
    }

    fn machine_id(self: &Rc<Self>, number: u64) -> Id {
        let host = Rc::clone(self);
        Id::new(number, move |number| {
            host.machines.borrow_mut().live.remove(&number);
        })
    }

    fn snapshot_id(self: &Rc<Self>, number: u64) -> Id {
        let host = Rc::clone(self);
        Id::new(number, move |number| {
            host.machines.borrow_mut().snapshots.remove(&number);
        })
    }

    async fn boot(self: Rc<Self>, step: StepId, origin: Origin) -> Result<Id, VmError> {
        self.call().await;
        let known = self.rules.borrow_mut().in_plan(
            match origin {
                Origin::Image(_) => "boot-image",
                Origin::Snapshot(_) => "boot-snapshot",
            },
            step,
        );
        self.checked(known).await;
        let state = match origin {
            Origin::Image(image) => State::Image(image),
            Origin::Snapshot(number) => self.state_of(number),
        };
        let booted = async { self.machines.borrow_mut().boot(step, state) };
        let number = self.unless_cancelled(booted).await?;
        Ok(self.machine_id(number))
    }

    fn state_of(&self, snapshot: u64) -> State {
        let machines = self.machines.borrow();
        let state = machines.snapshots.get(&snapshot);
        state.cloned().unwrap_or(State::Other)
    }

    /// Returns the state from which a step may run.
    fn base_of(&self, step: StepId) -> State {
        let rules = self.rules.borrow();
        match rules.parent(step) {
            Some(parent) => State::After(parent),
            None => State::Image(rules.base_image(step).unwrap_or_default().to_owned()),
        }
    }

    async fn run(self: Rc<Self>, machine: u64, step: StepId) -> Result<ExecStatus, VmError> {
        self.call().await;
        let known = self.rules.borrow_mut().in_plan("machine.run", step);
        self.checked(known).await;
        let base = self.base_of(step);
        let number = self.machines.borrow_mut().begin(machine, Some(&base))?;
        let mut running = Running {
            host: Rc::clone(&self),
            machine,
            number,
            left: None,
            was_alone: true,
        };
        let begun = self.rules.borrow_mut().begin_run(step);
        let begun = match begun {
            Ok(begun) => begun,
            Err(broken) => return self.violate(broken).await,
        };
        begun.map_err(VmError::Denied)?;
        let command = self.machines.borrow_mut().command(step);
        let limit = self.timeouts[step as usize];
        let takes = nanoseconds(command.takes);
        let (takes, end) = match limit {
            Some(limit) if limit < takes => (limit, Ok(ExecStatus::TimedOut)),
            _ => (takes, command.end),
        };
        let status = self
            .unless_cancelled(async {
                self.clock.wait(takes).await;
                end
            })
            .await?;
        running.left = Some(if status.is_success() {
            State::After(step)
        } else {
            State::Other
        });
        if !running.end() {
            let text = "another command ran on the machine meanwhile";
            return Err(VmError::Denied(text.into()));
        }
        self.rules.borrow_mut().end_run(step, status);
        Ok(status)
    }

    async fn exec(self: Rc<Self>, machine: u64, spec: ExecSpec) -> Result<ExecParts, VmError> {
        self.call().await;
        if !self.has_source {
            let text = "exec hands output to the backend, for which `source` must be granted too";
            return Err(VmError::Denied(text.into()));
        }
        let number = self.machines.borrow_mut().begin(machine, None)?;
        let running = Running {
            host: Rc::clone(&self),
            machine,
            number,
            left: None,
            was_alone: true,
        };
        let command = self.machines.borrow_mut().exec(&spec.command);
        let output = futures::stream::iter([command.output]);
        let output = output.filter(|chunk| std::future::ready(!chunk.is_empty()));
        let status = async move {
            let host = Rc::clone(&running.host);
            let limit = spec.timeout_ms.map(|ms| ms.saturating_mul(1_000_000));
            let takes = nanoseconds(command.takes);
            let (takes, end) = match limit {
                Some(limit) if limit < takes => (limit, Ok(ExecStatus::TimedOut)),
                _ => (takes, command.end),
            };
            let end = host
                .unless_cancelled(async {
                    host.clock.wait(takes).await;
                    end
                })
                .await;
            drop(running);
            end
        };
        Ok((output.boxed_local(), status.boxed_local()))
    }

    async fn freeze(self: Rc<Self>, machine: u64) -> Result<Id, VmError> {
        self.call().await;
        let frozen = async { self.machines.borrow_mut().freeze(machine) };
        let number = self.unless_cancelled(frozen).await?;
        Ok(self.snapshot_id(number))
    }

    async fn lookup(
        self: Rc<Self>,
        step: StepId,
        parent: Option<u64>,
    ) -> Result<Option<Id>, VmError> {
        self.call().await;
        let known = self.rules.borrow_mut().in_plan("cache-lookup", step);
        self.checked(known).await;
        if self.wish.get().is_some() {
            return Err(VmError::Cancelled);
        }
        let wanted = match self.base_of(step) {
            State::Image(_) => None,
            state => Some(state),
        };
        if parent.map(|parent| self.state_of(parent)) != wanted {
            let text = "the parent is not what the step starts from";
            return Err(VmError::Denied(text.into()));
        }
        if !self.machines.borrow().cached.contains(&step) {
            return Ok(None);
        }
        self.rules.borrow_mut().hit(step);
        let number = self.machines.borrow_mut().snapshot(State::After(step));
        Ok(Some(self.snapshot_id(number)))
    }

    async fn store(self: Rc<Self>, step: StepId, snapshot: u64) -> Result<(), VmError> {
        self.call().await;
        let known = self.rules.borrow_mut().in_plan("cache-store", step);
        self.checked(known).await;
        if self.wish.get().is_some() {
            return Err(VmError::Cancelled);
        }
        if self.state_of(snapshot) != State::After(step) {
            let text = "the snapshot is not the state in which the step was seen to pass";
            return Err(VmError::Denied(text.into()));
        }
        self.machines.borrow_mut().stored.push(step);
        Ok(())
    }

    async fn send(self: Rc<Self>, outgoing: Outgoing) -> Result<Incoming, Failure> {
        self.call().await;
        let scheme = if outgoing.is_encrypted {
            "https"
        } else {
            "http"
        };
        let (path, query) = match outgoing.path.split_once('?') {
            Some((path, query)) => (path, query),
            None => (outgoing.path.as_str(), ""),
        };
        let text = |(name, value): &(String, Vec<u8>)| {
            (name.clone(), String::from_utf8_lossy(value).into_owned())
        };
        let mut request = ServerRequest {
            method: outgoing.method,
            url: format!("{scheme}://{}{path}", outgoing.authority),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: outgoing.headers.iter().map(text).collect(),
            body: Vec::new(),
        };
        request.body = outgoing.body.into_chunks().concat().await;
        self.requests.borrow_mut().push(request.clone());
        let answer = (self.server.borrow_mut())(&request);
        answer.play(&self.clock).await
    }

    async fn write(self: Rc<Self>, events: Vec<BuildEvent>) -> bool {
        self.call().await;
        let now = Duration::from_nanos(self.clock.now());
        for event in events {
            let checked = self.rules.borrow_mut().event(&event);
            self.checked(checked).await;
            self.events.borrow_mut().push((now, event));
        }
        true
    }
}

/// A command on a machine; ended with the call that runs it.
struct Running {
    host: Rc<Host>,
    machine: u64,
    number: u64,
    left: Option<State>,
    was_alone: bool,
}

impl Running {
    fn end(mut self) -> bool {
        self.finish();
        self.was_alone
    }

    fn finish(&mut self) {
        if self.number > 0 {
            let left = self.left.take();
            let mut machines = self.host.machines.borrow_mut();
            self.was_alone = machines.end(self.machine, self.number, left);
            self.number = 0;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.finish();
    }
}

impl World for Shared {
    fn now(&self) -> u64 {
        self.0.clock.now()
    }

    fn wait_for(&self, nanoseconds: u64) -> LocalBoxFuture<'static, ()> {
        let host = Rc::clone(&self.0);
        async move {
            host.call().await;
            host.clock.wait(nanoseconds).await;
        }
        .boxed_local()
    }

    fn cancelled(&self) -> LocalBoxFuture<'static, CancelReason> {
        let host = Rc::clone(&self.0);
        async move { host.wish.wait().await }.boxed_local()
    }

    fn log(&self, severity: Severity, message: &str) {
        let line = (severity, message.to_owned());
        self.0.log.borrow_mut().push(line);
    }

    fn write_events(&self, events: Vec<BuildEvent>) -> LocalBoxFuture<'static, bool> {
        Rc::clone(&self.0).write(events).boxed_local()
    }

    fn measure(&self) -> LocalBoxFuture<'static, Result<TreeInfo, String>> {
        let host = Rc::clone(&self.0);
        async move {
            host.call().await;
            host.source
                .as_ref()
                .map(|(info, _)| *info)
                .map_err(Clone::clone)
        }
        .boxed_local()
    }

    fn archive(
        &self,
    ) -> (
        LocalBoxStream<'static, Vec<u8>>,
        LocalBoxFuture<'static, Result<TreeInfo, String>>,
    ) {
        let (data, done) = match &self.0.source {
            Ok((info, data)) => (data.clone(), Ok(*info)),
            Err(why) => (Vec::new(), Err(why.clone())),
        };
        let chunks: Vec<_> = data.chunks(64 << 10).map(<[u8]>::to_vec).collect();
        let data = futures::stream::iter(chunks).boxed_local();
        (data, std::future::ready(done).boxed_local())
    }

    fn send(&self, request: Outgoing) -> LocalBoxFuture<'static, Result<Incoming, Failure>> {
        Rc::clone(&self.0).send(request).boxed_local()
    }

    fn boot(
        &self,
        step: StepId,
        origin: Origin,
        _: MachineOptions,
    ) -> LocalBoxFuture<'static, Result<Id, VmError>> {
        Rc::clone(&self.0).boot(step, origin).boxed_local()
    }

    fn run(
        &self,
        machine: u64,
        step: StepId,
    ) -> LocalBoxFuture<'static, Result<ExecStatus, VmError>> {
        Rc::clone(&self.0).run(machine, step).boxed_local()
    }

    fn exec(
        &self,
        machine: u64,
        spec: ExecSpec,
    ) -> LocalBoxFuture<'static, Result<ExecParts, VmError>> {
        Rc::clone(&self.0).exec(machine, spec).boxed_local()
    }

    fn freeze(&self, machine: u64) -> LocalBoxFuture<'static, Result<Id, VmError>> {
        Rc::clone(&self.0).freeze(machine).boxed_local()
    }

    fn cache_lookup(
        &self,
        step: StepId,
        parent: Option<u64>,
    ) -> LocalBoxFuture<'static, Result<Option<Id>, VmError>> {
        Rc::clone(&self.0).lookup(step, parent).boxed_local()
    }

    fn cache_store(
        &self,
        step: StepId,
        snapshot: u64,
    ) -> LocalBoxFuture<'static, Result<(), VmError>> {
        Rc::clone(&self.0).store(step, snapshot).boxed_local()
    }
}

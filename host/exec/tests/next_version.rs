//! How the interface goes on: a second version stands beside the first, in a folder of its
//! own, and a component that was built against the first keeps running.
//!
//! `tests/wit/v0.2` is such a version, made up for this test: an event has a new case, the
//! request a new field, `control` a new function. Types are matched exactly, so none of
//! that may enter v0.1. A host that speaks both links both, and converts the old to the
//! new at the edge; the fixture, which knows nothing of v0.2, runs through that.

use std::sync::{Arc, Mutex};

use futures::channel::oneshot;
use wasmtime::component::{
    Accessor, Component, FutureConsumer, HasSelf, Lift, Linker, Source, StreamConsumer,
    StreamResult,
};
use wasmtime::{Config, Engine, Store, StoreContextMut};

mod v0_1 {
    #![allow(missing_docs, unused, reason = "generated")]
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "hm:backend/plain-backend",
        imports: { default: trappable },
        exports: { default: async },
        with: { "wasi:clocks": wasmtime_wasi::p3::bindings::clocks },
        require_store_data_send: true,
    });
}

mod v0_2 {
    #![allow(missing_docs, unused, reason = "generated")]
    wasmtime::component::bindgen!({
        path: "tests/wit/v0.2",
        world: "hm:backend/plain-backend",
        imports: { default: trappable },
        exports: { default: async },
        require_store_data_send: true,
    });
}

use v0_1::hm::backend::{control as control_1, diagnostics as diagnostics_1};
use v0_1::hm::backend::{events as events_1, types as types_1};
use v0_2::hm::backend::{control, diagnostics, events, types};

/// What the store holds.
#[derive(Default)]
struct State {
    table: wasmtime::component::ResourceTable,
    ctx: wasmtime_wasi::WasiCtx,
    log: Vec<String>,
}

impl wasmtime_wasi::WasiView for State {
    fn ctx(&mut self) -> wasmtime_wasi::WasiCtxView<'_> {
        wasmtime_wasi::WasiCtxView {
            ctx: &mut self.ctx,
            table: &mut self.table,
        }
    }
}

/// The newest version is what the host itself speaks.
impl types::Host for State {}
impl events::Host for State {}

impl diagnostics::Host for State {
    fn log(&mut self, _: diagnostics::Severity, message: String) -> wasmtime::Result<()> {
        self.log.push(message);
        Ok(())
    }
}

impl control::Host for State {
    fn deadline(&mut self) -> wasmtime::Result<Option<u64>> {
        Ok(None)
    }
}

impl control::HostWithStore<State> for HasSelf<State> {
    async fn cancelled(_: &Accessor<State, Self>) -> wasmtime::Result<control::CancelReason> {
        std::future::pending().await
    }
}

/// The adapter: the old version's imports, by the new one's.
impl types_1::Host for State {}
impl events_1::Host for State {}

impl diagnostics_1::Host for State {
    fn log(&mut self, _: diagnostics_1::Severity, message: String) -> wasmtime::Result<()> {
        diagnostics::Host::log(self, diagnostics::Severity::Info, message)
    }
}

impl control_1::Host for State {}

impl control_1::HostWithStore<State> for HasSelf<State> {
    async fn cancelled(
        accessor: &Accessor<State, Self>,
    ) -> wasmtime::Result<control_1::CancelReason> {
        let reason = <Self as control::HostWithStore<State>>::cancelled(accessor).await?;
        Ok(match reason {
            control::CancelReason::Interrupted => control_1::CancelReason::Interrupted,
            control::CancelReason::TimedOut => control_1::CancelReason::TimedOut,
        })
    }
}

/// The old request: the new one without what it does not know.
fn request(new: types::RunRequest) -> types_1::RunRequest {
    let step = |step: types::Step| types_1::Step {
        key: step.key,
        label: step.label,
        command: step.command,
        image: step.image,
        env: step.env,
        timeout_ms: step.timeout_ms,
        cacheable: step.cacheable,
        runner: step.runner,
        runner_args: step.runner_args,
    };
    types_1::RunRequest {
        run_id: new.run_id,
        plan: types_1::Plan {
            pipeline: new.plan.pipeline,
            steps: new.plan.steps.into_iter().map(step).collect(),
            edges: Vec::new(),
            timeout_ms: new.plan.timeout_ms,
            ir_json: new.plan.ir_json,
        },
        commit: types_1::CommitInfo {
            branch: new.commit.branch,
            commit: new.commit.commit,
            message: new.commit.message,
            repository: new.commit.repository,
        },
        options: types_1::RunOptions {
            no_cache: new.options.no_cache,
            watch: new.options.watch,
            keep_going: new.options.keep_going,
            parallelism: new.options.parallelism,
        },
        settings: new.settings,
    }
}

/// The new events: each old case is one of them. Those that this test does not send are
/// told as notices.
fn event(old: events_1::BuildEvent) -> events::BuildEvent {
    match old {
        events_1::BuildEvent::StepQueued(step) => events::BuildEvent::StepQueued(step),
        events_1::BuildEvent::StepStarted(started) => {
            events::BuildEvent::StepStarted(events::StepStarted {
                step: started.step,
                runner: started.runner,
                image: started.image,
            })
        }
        events_1::BuildEvent::StepEnded(ended) => {
            events::BuildEvent::StepEnded(events::StepEnded {
                step: ended.step,
                status: match ended.status {
                    types_1::StepStatus::Passed => types::StepStatus::Passed,
                    _ => types::StepStatus::Failed,
                },
                exit_code: ended.exit_code,
                duration_ms: ended.duration_ms,
                detail: ended.detail,
            })
        }
        other => events::BuildEvent::Notice(events::Notice {
            step: None,
            level: events::Level::Info,
            message: format!("{other:?}"),
        }),
    }
}

/// Takes the old version's events as the new one's.
struct Taken(Arc<Mutex<Vec<events::BuildEvent>>>);

impl<D: 'static> StreamConsumer<D> for Taken {
    type Item = events_1::BuildEvent;

    fn poll_consume(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        mut store: StoreContextMut<'_, D>,
        mut source: Source<'_, Self::Item>,
        _: bool,
    ) -> std::task::Poll<wasmtime::Result<StreamResult>> {
        let mut taken = Vec::with_capacity(source.remaining(&mut store).clamp(1, 64));
        source.read(&mut store, &mut taken)?;
        let mut events = self.0.lock().expect("nobody panics");
        events.extend(taken.into_iter().map(event));
        std::task::Poll::Ready(Ok(StreamResult::Completed))
    }
}

struct Once<T>(Option<oneshot::Sender<T>>);

impl<D, T: Lift + Send + 'static> FutureConsumer<D> for Once<T> {
    type Item = T;

    fn poll_consume(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        store: StoreContextMut<'_, D>,
        mut source: Source<'_, T>,
        _: bool,
    ) -> std::task::Poll<wasmtime::Result<()>> {
        let mut value = None;
        source.read(store, &mut value)?;
        if let (Some(value), Some(sender)) = (value, self.0.take()) {
            let _ = sender.send(value);
        }
        std::task::Poll::Ready(Ok(()))
    }
}

fn new_request() -> types::RunRequest {
    types::RunRequest {
        run_id: "1".into(),
        plan: types::Plan {
            pipeline: "p".into(),
            steps: vec![types::Step {
                key: "a".into(),
                label: None,
                command: "make".into(),
                image: Some("host".into()),
                env: Vec::new(),
                timeout_ms: None,
                cacheable: false,
                runner: None,
                runner_args: None,
            }],
            edges: Vec::new(),
            timeout_ms: None,
            ir_json: "{}".into(),
        },
        commit: types::CommitInfo {
            branch: "main".into(),
            commit: "0".repeat(40),
            message: None,
            repository: None,
        },
        options: types::RunOptions {
            no_cache: false,
            watch: true,
            keep_going: false,
            parallelism: 2,
        },
        settings: Vec::new(),
        labels: vec!["nightly".into()],
    }
}

/// Links both versions: their names differ, so neither is in the other's way.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    type Own = HasSelf<State>;
    let mut linker = Linker::new(engine);
    v0_2::PlainBackend::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    types_1::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    events_1::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    control_1::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    diagnostics_1::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    wasmtime_wasi::p3::clocks::add_to_linker(&mut linker)?;
    Ok(linker)
}

#[tokio::test]
async fn a_component_of_the_first_version_runs_on_a_host_of_the_second() -> wasmtime::Result<()> {
    let engine = Engine::new(&Config::new())?;
    let bytes = include_bytes!("fixtures/echo-v0.1.wasm");
    let component = Component::from_binary(&engine, bytes)?;
    let pre = v0_1::PlainBackendPre::new(linker(&engine)?.instantiate_pre(&component)?)?;
    let mut store = Store::new(&engine, State::default());
    let backend = pre.instantiate_async(&mut store).await?;
    let backend = backend.hm_backend_execution_backend();
    assert_eq!(backend.call_describe(&mut store).await?.name, "echo");

    let told = Arc::new(Mutex::new(Vec::new()));
    let taken = Taken(told.clone());
    let (sender, outcome) = oneshot::channel();
    let verdict = store
        .run_concurrent(async |accessor| -> wasmtime::Result<_> {
            let build = backend.call_start(accessor, request(new_request())).await?;
            let build = build.map_err(|refused| wasmtime::Error::msg(format!("{refused:?}")))?;
            accessor.with(|mut access| {
                build.events.pipe(&mut access, taken)?;
                build.outcome.pipe(&mut access, Once(Some(sender)))
            })?;
            Ok(outcome.await.expect("an outcome"))
        })
        .await??;
    assert!(
        matches!(verdict, Ok(types_1::BuildStatus::Passed)),
        "{verdict:?}"
    );

    let told = told.lock().expect("nobody panics");
    let kinds: Vec<_> = told
        .iter()
        .map(|event| match event {
            events::BuildEvent::StepQueued(0) => "queued",
            events::BuildEvent::StepStarted(_) => "started",
            events::BuildEvent::StepEnded(ended) if ended.exit_code == Some(0) => "passed",
            events::BuildEvent::Notice(_) => "output",
            _ => "?",
        })
        .collect();
    assert_eq!(kinds, ["queued", "started", "output", "passed"]);
    Ok(())
}

#[tokio::test]
async fn a_component_of_the_first_version_is_no_backend_of_the_second() -> wasmtime::Result<()> {
    // The version is in the export's name: an adapter is chosen before anything runs.
    let engine = Engine::new(&Config::new())?;
    let bytes = include_bytes!("fixtures/echo-v0.1.wasm");
    let component = Component::from_binary(&engine, bytes)?;
    let pre = linker(&engine)?.instantiate_pre(&component)?;
    let error = v0_2::PlainBackendPre::new(pre)
        .err()
        .expect("it is another version's");
    assert!(
        format!("{error:#}").contains("execution-backend@0.2.0"),
        "{error:#}"
    );
    Ok(())
}

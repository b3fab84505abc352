//! A backend that runs root steps as it should, and then looks around on their machines,
//! with everything that a backend can import. What it finds out it tells in notices.

use hm_backend_sdk::bindings::hm::backend::source;
use hm_backend_sdk::bindings::hm::backend::vm::{
    ExecSpec, ExecStatus, Machine, MachineOptions, VmError,
};
use hm_backend_sdk::{
    Backend, BackendError, BuildStatus, Cancellation, Capabilities, Description, EventSink, Level,
    RunRequest, StepEnded, StepId, StepStarted, StepStatus,
};
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, Scheme, Trailers};
use wasip3::wit_future;

mod injection;
mod work;

struct Prober;

const OPTIONS: MachineOptions = MachineOptions {
    cpus: None,
    memory_mib: None,
};

impl Backend for Prober {
    fn describe() -> Description {
        Description {
            name: "prober".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Capabilities::empty(),
        }
    }

    async fn run(
        request: RunRequest,
        events: EventSink,
        _cancellation: Cancellation,
    ) -> Result<BuildStatus, BackendError> {
        let tell = async |what: &str, found: String| {
            events
                .notice(Level::Info, format!("{what}: {}", found.trim()))
                .await;
        };
        for (step, planned) in (0 as StepId..).zip(&request.plan.steps) {
            events.step_queued(step).await;
            events.step_started(StepStarted::new(step, "prober")).await;
            let image = planned.image.clone().unwrap_or_default();
            let boot = async || {
                Machine::boot_image(step, image.clone(), OPTIONS)
                    .await
                    .map_err(broken)
            };
            tell("fresh", look(&boot().await?).await).await;
            if planned.env.iter().any(|(name, _)| name == "INJECT") {
                for (what, came_to) in injection::all(&boot().await?).await {
                    tell(what, came_to).await;
                }
            }
            if planned.env.iter().any(|(name, _)| name == "WORK") {
                for (what, came_to) in work::all(async || boot().await.ok()).await {
                    tell(what, came_to).await;
                }
            }
            let machine = boot().await?;
            let code = match machine.run(step).await.map_err(broken)? {
                ExecStatus::Exited(code) => code,
                _ => 1,
            };
            tell("after", look(&machine).await).await;
            let snapshot = machine.snapshot().await.map_err(broken)?;
            let copy = Machine::boot_snapshot(step, &snapshot, OPTIONS)
                .await
                .map_err(broken)?;
            tell("copy", look(&copy).await).await;
            let status = if code == 0 {
                StepStatus::Passed
            } else {
                StepStatus::Failed
            };
            events
                .step_ended(StepEnded::new(step, status).exit_code(code))
                .await;
        }
        let measured = source::measure().await;
        tell("source", format!("{:?}", measured.is_ok())).await;
        tell("http", get().await).await;
        Ok(BuildStatus::Passed)
    }
}

fn broken(error: VmError) -> BackendError {
    BackendError::Other(format!("{error:?}"))
}

/// Returns what a command on the machine finds.
async fn look(machine: &Machine) -> String {
    let spec = ExecSpec {
        command: "cat kept 2>/dev/null; echo \"TOKEN=[$TOKEN]\"; ls".into(),
        env: vec![("TOKEN".into(), "hm-secret:TOKEN".into())],
        working_dir: None,
        timeout_ms: None,
    };
    match machine.exec(spec).await {
        Err(error) => format!("{error:?}"),
        Ok(running) => {
            let output = running.output.collect().await;
            let _ = running.status.await;
            String::from_utf8_lossy(&output).replace('\n', " ")
        }
    }
}

async fn get() -> String {
    let (_, trailers) = wit_future::new::<Result<Option<Trailers>, ErrorCode>>(|| Ok(None));
    let (request, _) = Request::new(Fields::new(), None, trailers, None);
    let _ = request.set_scheme(Some(&Scheme::Https));
    let _ = request.set_authority(Some("evil.example"));
    let _ = request.set_path_with_query(Some("/"));
    match client::send(request).await {
        Ok(response) => format!("{}", response.get_status_code()),
        Err(error) => format!("{error:?}"),
    }
}

hm_backend_sdk::export!(Prober);

//! Sends a step's output line by line, each in an event of its own: by the SDK's handles, or
//! with the setting `raw` by the generated bindings alone.

use hm_backend_sdk::bindings::exports::hm::backend::execution_backend::{Guest, RunningBuild};
use hm_backend_sdk::bindings::{wit_future, wit_stream};
use hm_backend_sdk::{
    Adapter, Backend, BackendError, BuildEvent, BuildStatus, Cancellation, Capabilities,
    Description, EventSink, LogChannel, RunRequest, StepEnded, StepOutput, StepStarted, StepStatus,
};

/// Lines of the one step.
const LINES: u32 = 50_000;
const LINE: &[u8] = b"a line of output as a build prints it\n";

struct BySdk;

impl Backend for BySdk {
    fn describe() -> Description {
        Description {
            name: "rate".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Capabilities::OBSERVER,
        }
    }

    async fn run(
        _: RunRequest,
        events: EventSink,
        _: Cancellation,
    ) -> Result<BuildStatus, BackendError> {
        let step = events.queue_step(0).await.start("rate").await;
        for _ in 0..LINES {
            step.stdout(LINE).await;
        }
        step.pass().await;
        Ok(events.verdict())
    }
}

struct Rate;

impl Guest for Rate {
    fn describe() -> Description {
        BySdk::describe()
    }

    async fn start(request: RunRequest) -> Result<RunningBuild, BackendError> {
        if request.settings.iter().all(|(name, _)| name != "raw") {
            return Adapter::<BySdk>::start(request).await;
        }
        let (mut writer, events) = wit_stream::new();
        let (outcome_writer, outcome) = wit_future::new(|| Err(BackendError::Other("gone".into())));
        wit_bindgen::spawn_local(async move {
            writer.write_all(vec![BuildEvent::StepQueued(0)]).await;
            let started = StepStarted {
                step: 0,
                runner: "rate".into(),
                image: None,
            };
            writer
                .write_all(vec![BuildEvent::StepStarted(started)])
                .await;
            for _ in 0..LINES {
                let output = StepOutput {
                    step: 0,
                    channel: LogChannel::Stdout,
                    data: LINE.to_vec(),
                };
                writer.write_all(vec![BuildEvent::StepOutput(output)]).await;
            }
            let ended = StepEnded {
                step: 0,
                status: StepStatus::Passed,
                exit_code: Some(0),
                duration_ms: None,
                detail: None,
            };
            writer.write_all(vec![BuildEvent::StepEnded(ended)]).await;
            drop(writer);
            let _ = outcome_writer.write(Ok(BuildStatus::Passed)).await;
        });
        Ok(RunningBuild { events, outcome })
    }
}

hm_backend_sdk::bindings::export_backend!(Rate with_types_in hm_backend_sdk::bindings);

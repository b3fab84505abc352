//! What the component exports.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use hm_backend_sdk::{
    Accepted, Backend, BackendError, BuildEvent, BuildStatus, Cancellation, Capabilities,
    Description, EventSink, Rejection, RunRequest, clock, log,
};

use crate::cancel::cancel;
use crate::service::{Known, PATIENCE, Service};
use crate::settings::Settings;
use crate::submit;
use crate::watch::{Role, Watched, watch};

/// How long a submission that is on its way is waited for after the wish to cancel: the host
/// ends the backend after 10 s.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// The backend `cloud`.
#[derive(Debug)]
pub struct Cloud;

impl Backend for Cloud {
    fn describe() -> Description {
        Description {
            name: "cloud".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            // The service goes on past a failure, whatever it is asked.
            capabilities: Capabilities::OBSERVER
                | Capabilities::SUPPORTS_NO_WATCH
                | Capabilities::PROVIDES_WATCH_URL
                | Capabilities::ENFORCES_TIMEOUT,
        }
    }

    async fn check(request: &RunRequest) -> Result<(), BackendError> {
        request.settings::<Settings>()?.version()?;
        // The service takes it, makes no job, and never ends the build.
        if request.plan.steps.is_empty() {
            return Err(BackendError::Rejected(Rejection {
                code: "empty_plan".into(),
                message: "the pipeline has no steps, and the service would wait for them for ever"
                    .into(),
            }));
        }
        Ok(())
    }

    async fn run(
        request: RunRequest,
        events: EventSink,
        cancellation: Cancellation,
    ) -> Result<BuildStatus, BackendError> {
        let settings: Settings = request.settings()?;
        let service = cancellation.guard(Service::find(&settings)).await??;
        let known = match settings.attach {
            Some(number) => attach(&service, &settings, number).await?,
            None => begin(&service, &request, &settings, &cancellation).await?,
        };
        log::info(format!("build #{} of {}", known.number, known.pipeline));
        events
            .emit(BuildEvent::Accepted(Accepted {
                number: Some(known.number),
                organization: Some(service.org.clone()),
                pipeline: known.pipeline.clone(),
                watch_url: Some(settings.watch_url(&known.pipeline, known.number)),
            }))
            .await;
        if !request.options.watch {
            return Ok(BuildStatus::Passed);
        }
        let watched = Watched {
            service: &service,
            known: &known,
            url: &settings.watch_url(&known.pipeline, known.number),
            plan: &request.plan,
            events: &events,
            role: match settings.attach {
                Some(_) => Role::Spectator,
                None => Role::Owner,
            },
        };
        watch(&watched, &cancellation).await
    }
}

async fn attach(
    service: &Service,
    settings: &Settings,
    number: u64,
) -> Result<Known, BackendError> {
    let known = Known {
        pipeline: settings.pipeline.clone().unwrap_or_default(),
        number,
    };
    service.build(&known, PATIENCE).await?;
    Ok(known)
}

/// Submits, unless the build is to stop. What is on its way by then may have become a build,
/// which is cancelled.
async fn begin(
    service: &Service,
    request: &RunRequest,
    settings: &Settings,
    cancellation: &Cancellation,
) -> Result<Known, BackendError> {
    let submitting = pin!(submit::submit(service, request, settings));
    let wish = pin!(cancellation.requested());
    match select(wish, submitting).await {
        Either::Right((submitted, _)) => submitted,
        Either::Left((_, submitting)) => {
            if let Ok(Ok(known)) = clock::timeout(LAST_WORDS, submitting).await {
                cancel(service, &known).await;
            }
            Err(BackendError::Cancelled)
        }
    }
}

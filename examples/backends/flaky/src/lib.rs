//! Runs a failing step again, in a machine made anew, before it believes the failure.

use hm_backend_sdk::clock::Backoff;
use hm_backend_sdk::vm::{ExecStatus, Machine, MachineOptions, Snapshot, VmError};
use hm_backend_sdk::{
    Backend, BackendError, BuildStatus, Cancellation, Capabilities, Description, EventSink, Level,
    RunRequest, StepId, Turn, walk,
};
use serde::Deserialize;
use std::time::Duration;

/// A type to hang the two functions on; a backend keeps nothing between builds.
#[derive(Debug)]
pub struct Flaky;

/// `[backends.flaky.settings]` of the user's configuration.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Runs of a step, the first included. The host allows ten.
    #[serde(default = "three")]
    attempts: u32,
}

fn three() -> u32 {
    3
}

impl Backend for Flaky {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Capabilities::HONORS_PARALLELISM | Capabilities::HONORS_KEEP_GOING,
        }
    }

    async fn check(request: &RunRequest) -> Result<(), BackendError> {
        // Wrong settings are told before anything starts.
        request.settings::<Settings>()?;
        Ok(())
    }

    async fn run(
        request: RunRequest,
        events: EventSink,
        cancellation: Cancellation,
    ) -> Result<BuildStatus, BackendError> {
        let settings: Settings = request.settings()?;
        walk(&request, &events, &cancellation, async |turn| {
            run_step(turn, settings).await
        })
        .await
    }
}

/// What a step leaves behind, if another starts from it.
type Left = Option<Snapshot>;

async fn run_step(turn: Turn<Left>, settings: Settings) -> Result<Left, BackendError> {
    let (id, planned, has_heirs) = (turn.id(), turn.step().clone(), turn.has_heirs());
    let parent = turn.parent().cloned();
    let step = turn.start("machine").await;
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    for attempt in 1.. {
        let image = planned.image.as_deref().unwrap_or_default();
        let tried = attempt_step(id, image, parent.as_deref()).await;
        let is_last = attempt >= settings.attempts;
        let why = match tried {
            Ok((machine, status)) if status.is_success() || is_last => {
                step.end(&planned, status).await;
                return Ok(match status.is_success() && has_heirs {
                    true => Some(machine.snapshot().await?),
                    false => None,
                });
            }
            Ok((_, status)) => format!("ended with {}", status.code()),
            Err(VmError::Gone(why)) if !is_last => why,
            Err(error) => return Err(error.into()),
        };
        let text = format!(
            "attempt {attempt} of {}: {why}; once more",
            settings.attempts
        );
        step.notice(Level::Warning, text).await;
        backoff.pause().await;
    }
    Ok(None)
}

/// Runs the step in a machine of its own: only from its own base may a step be run again.
async fn attempt_step(
    id: StepId,
    image: &str,
    parent: Option<&Left>,
) -> Result<(Machine, ExecStatus), VmError> {
    let options = MachineOptions::default();
    let machine = match parent {
        Some(Some(snapshot)) => Machine::boot_snapshot(id, snapshot, options).await?,
        _ => Machine::boot_image(id, image, options).await?,
    };
    let status = machine.run(id).await?;
    Ok((machine, status))
}

hm_backend_sdk::export!(Flaky);

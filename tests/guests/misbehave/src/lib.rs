//! A backend that breaks the rules. The setting `misbehave`, or else the variable
//! `MISBEHAVE` of the plan's first step, names how; each name stands beside what it does.
//!
//! It speaks to the host without the SDK's adapter, which would keep most rules for it.

mod describing;
mod exhaustion;
mod extremes;
mod order;
mod outcome;
mod pass;
mod silence;
mod stage;
mod strings;

use hm_backend_sdk::bindings::exports::hm::backend::execution_backend::{Guest, RunningBuild};
use hm_backend_sdk::bindings::{wit_future, wit_stream};
use hm_backend_sdk::{BackendError, BuildStatus, Description, Rejection, RunRequest};

use crate::stage::Stage;

struct Misbehave;

impl Guest for Misbehave {
    fn describe() -> Description {
        describing::describe()
    }

    async fn start(request: RunRequest) -> Result<RunningBuild, BackendError> {
        let case = case(&request);
        exhaustion::in_start(&case);
        if let Some(text) = case.strip_prefix("refuse") {
            let nasty = !text.is_empty();
            let (code, message) = if nasty {
                (strings::NASTY.into(), strings::NASTY.into())
            } else {
                ("refused".into(), "as asked".into())
            };
            return Err(BackendError::Rejected(Rejection { code, message }));
        }
        let (events, events_reader) = wit_stream::new();
        let default = || Err(BackendError::Other("the outcome was dropped".into()));
        let (outcome, outcome_reader) = wit_future::new(default);
        let stage = Stage {
            plan: request.plan,
            events,
            outcome,
        };
        wit_bindgen::spawn_local(play(case, stage));
        Ok(RunningBuild {
            events: events_reader,
            outcome: outcome_reader,
        })
    }
}

fn case(request: &RunRequest) -> String {
    let setting = request
        .settings
        .iter()
        .find(|(name, _)| name == "misbehave");
    let variables = request
        .plan
        .steps
        .first()
        .map(|step| step.env.as_slice())
        .unwrap_or_default();
    let variable = variables.iter().find(|(name, _)| name == "MISBEHAVE");
    setting
        .or(variable)
        .map(|(_, value)| value.clone())
        .unwrap_or_default()
}

async fn play(case: String, stage: Stage) {
    let stage = match exhaustion::play(&case, stage).await {
        Some(stage) => stage,
        None => return,
    };
    let Some(stage) = extremes::play(&case, stage).await else {
        return;
    };
    let Some(stage) = silence::play(&case, stage).await else {
        return;
    };
    let Some(stage) = strings::play(&case, stage).await else {
        return;
    };
    let Some(stage) = outcome::play(&case, stage).await else {
        return;
    };
    let Some(stage) = order::play(&case, stage).await else {
        return;
    };
    let Some(mut stage) = pass::play(&case, stage).await else {
        return;
    };
    match case.as_str() {
        // Every rule is kept.
        "" | "nothing" => {
            let status = stage.honest().await;
            stage.finish(Ok(status)).await;
        }
        other => {
            let error = BackendError::Other(format!("there is no case `{other}`"));
            stage.finish(Err(error)).await;
        }
    }
}

/// Returns the verdict that follows from whether all passed.
fn verdict(passed: bool) -> BuildStatus {
    if passed {
        BuildStatus::Passed
    } else {
        BuildStatus::Failed
    }
}

hm_backend_sdk::bindings::export_backend!(Misbehave with_types_in hm_backend_sdk::bindings);

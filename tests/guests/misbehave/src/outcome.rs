//! Outcomes that do not follow from the steps, or come at the wrong time.

use hm_backend_sdk::{Accepted, BuildEvent, BuildStatus, StepEnded, StepStatus};

use crate::stage::Stage;

pub(crate) async fn play(case: &str, mut stage: Stage) -> Option<Stage> {
    let outcome = match case {
        // The step fails and is told so; the build passes all the same.
        "passed-over-failed" => {
            stage.honest().await;
            BuildStatus::Passed
        }
        "passed-over-skipped" => {
            for step in stage.steps() {
                stage.queued(step).await;
                let ended = StepEnded::new(step, StepStatus::Skipped).detail("not today");
                stage.emit(BuildEvent::StepEnded(ended)).await;
            }
            BuildStatus::Passed
        }
        "passed-over-nothing" => BuildStatus::Passed,
        "failed-over-passes" => {
            stage.honest().await;
            BuildStatus::Failed
        }
        "cancelled-by-nobody" => {
            stage.honest().await;
            BuildStatus::Cancelled
        }
        "timed-out-by-nobody" => {
            stage.honest().await;
            BuildStatus::TimedOut
        }
        "step-left-open" => {
            stage.open(0).await;
            BuildStatus::Passed
        }
        // The outcome first, then the events.
        "outcome-first" => {
            let Stage {
                plan,
                events,
                outcome,
            } = stage;
            let _ = outcome.write(Ok(BuildStatus::Passed)).await;
            let (spare, _reader) =
                hm_backend_sdk::bindings::wit_future::new(|| Ok(BuildStatus::Passed));
            let mut stage = Stage {
                plan,
                events,
                outcome: spare,
            };
            stage.honest().await;
            return None;
        }
        // The outcome while the stream is open.
        "outcome-beside-stream" => {
            stage.honest().await;
            let Stage {
                events, outcome, ..
            } = stage;
            let _ = outcome.write(Ok(BuildStatus::Passed)).await;
            let _kept = events;
            crate::stage::for_ever().await
        }
        "accepted-twice" => {
            stage.emit(accepted()).await;
            stage.emit(accepted()).await;
            stage.honest().await
        }
        // Names that only look as if they were of this machine, and schemes that act.
        "watched-elsewhere" | "watched-by-script" | "watched-in-the-clear" | "watched-as-user" => {
            let url = match case {
                "watched-elsewhere" => "http://127.0.0.1:80@evil.example/",
                "watched-by-script" => "javascript:alert(1)",
                "watched-as-user" => "https://good.example@evil.example/",
                _ => "http://evil.example/",
            };
            let mut accepted = accepted();
            if let BuildEvent::Accepted(accepted) = &mut accepted {
                accepted.watch_url = Some(url.into());
            }
            stage.emit(accepted).await;
            stage.honest().await
        }
        "accepted-late" => {
            stage.queued(0).await;
            stage.emit(accepted()).await;
            BuildStatus::Passed
        }
        _ => return Some(stage),
    };
    stage.finish(Ok(outcome)).await;
    None
}

fn accepted() -> BuildEvent {
    BuildEvent::Accepted(Accepted {
        number: Some(1),
        organization: None,
        pipeline: "x".into(),
        watch_url: None,
    })
}

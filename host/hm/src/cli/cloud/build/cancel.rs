//! `hm cloud build cancel`: never what has ended, which the service would spoil.

use std::time::Duration;

use hm_cloud_api::{Build, BuildState};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::super::Context;
use super::Known;
use crate::failure::{Exit, Failure};

/// Running jobs get 10 s after they were asked to end; after that the service takes care.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(500);

pub(super) async fn run(known: &Known<'_>, context: &Context<'_>) -> Result<Exit, Failure> {
    let build = known.build().await?;
    if build.state.is_terminal() {
        return told(context, &build, build.state.word(), "has ended already");
    }
    if build.state != BuildState::Canceling {
        let path = known.path(&["cancel"]).await?;
        let _: serde_json::Value = known.client.put(&path).await?;
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let build = known.build().await?;
        // A build whose jobs never ran stays `canceling` for hours.
        let is_over = build.state.is_terminal()
            || known
                .jobs()
                .await?
                .iter()
                .all(|job| job.state.is_terminal());
        if is_over {
            let state = match build.state {
                BuildState::Canceling => "canceled",
                _ => build.state.word(),
            };
            return told(context, &build, state, "is cancelled");
        }
        if Instant::now() >= deadline {
            return told(context, &build, build.state.word(), "is being cancelled");
        }
        sleep(POLL).await;
    }
}

fn told(context: &Context<'_>, build: &Build, state: &str, what: &str) -> Result<Exit, Failure> {
    context.answer(&json!({"number": build.number, "state": state}), || {
        let state = match what {
            "has ended already" => format!(": {state}"),
            _ => String::new(),
        };
        format!("build #{} {what}{state}\n", build.number)
    })
}

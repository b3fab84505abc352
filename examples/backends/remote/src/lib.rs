//! Hands each step to an agent over HTTP, and tells what it answers.
//!
//! The agent is `examples/agent.rs`, a small program that runs the commands. Its interface:
//! `POST jobs` takes a command and gives an id, `GET jobs/ID/events` streams what happens
//! to it, `DELETE jobs/ID` ends it.

use std::collections::BTreeMap;
use std::time::Duration;

use hm_backend_sdk::http::Client;
use hm_backend_sdk::vm::ExecStatus;
use hm_backend_sdk::{
    Backend, BackendError, BuildStatus, Cancellation, Capabilities, Description, EventSink,
    LogChannel, RunRequest, RunningStep, Turn, clock, walk,
};
use serde::{Deserialize, Serialize};

/// A type to hang the functions on; a backend keeps nothing between builds.
#[derive(Debug)]
pub struct Remote;

/// `[backends.NAME.settings]` of the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where the agent listens.
    #[serde(default = "here")]
    url: String,
}

fn here() -> String {
    "http://127.0.0.1:7878/".into()
}

#[derive(Debug, Serialize)]
struct NewJob<'a> {
    command: &'a str,
    env: BTreeMap<&'a str, &'a str>,
}

#[derive(Debug, Deserialize)]
struct Job {
    id: String,
}

/// What happens to a job.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum JobEvent {
    Stdout(String),
    Stderr(String),
    Exited(i32),
}

impl Backend for Remote {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Capabilities::OBSERVER
                | Capabilities::HONORS_PARALLELISM
                | Capabilities::HONORS_KEEP_GOING,
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
        let agent = Client::new(settings.url);
        // Order, `-j`, failures and a cancellation are looked after; here is one step.
        walk(&request, &events, &cancellation, async |turn| {
            run_step(turn, &agent).await
        })
        .await
    }
}

async fn run_step(turn: Turn<()>, agent: &Client) -> Result<(), BackendError> {
    let (planned, stop) = (turn.step().clone(), turn.stop());
    let step = turn.start("agent").await;
    let env = planned.env.iter();
    let new = NewJob {
        command: &planned.command,
        env: env
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
    };
    let job: Job = agent.post("jobs").json(&new).fetch().await?;
    // The step's own time is the backend's to watch.
    let limit = planned.timeout_ms.map(Duration::from_millis);
    let ended = stop.guard(within(limit, follow(&step, agent, &job))).await;
    if let Ok(Some(code)) = ended {
        step.exit(code?).await;
        return Ok(());
    }
    // Nobody waits for the job any more; it is to end too.
    agent.delete(format!("jobs/{}", job.id)).send().await?;
    if let Err(stopped) = ended {
        return Err(stopped.into());
    }
    step.end(&planned, ExecStatus::TimedOut).await;
    Ok(())
}

/// Awaits `work`, but no longer than its limit, if it has one.
async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => clock::timeout(limit, work).await.ok(),
        None => Some(work.await),
    }
}

/// Passes on what the job prints, and returns its exit code.
async fn follow(step: &RunningStep, agent: &Client, job: &Job) -> Result<i32, BackendError> {
    let mut events = agent.get(format!("jobs/{}/events", job.id)).follow();
    while let Some(event) = events.next().await? {
        match serde_json::from_str(&event.data) {
            Ok(JobEvent::Stdout(text)) => step.output(LogChannel::Stdout, text).await,
            Ok(JobEvent::Stderr(text)) => step.output(LogChannel::Stderr, text).await,
            Ok(JobEvent::Exited(code)) => return Ok(code),
            Err(error) => {
                let text = format!("the agent sent `{}`: {error}", event.data);
                return Err(BackendError::LogStream(text));
            }
        }
    }
    let text = format!("the agent says no more of job {}", job.id);
    Err(BackendError::LogStream(text))
}

hm_backend_sdk::export!(Remote);

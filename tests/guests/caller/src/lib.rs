//! A backend that runs no step: each line of a step's command is something to do with
//! `wasi:http` or `source`, and what comes of it is printed as the step's output.
//!
//! ```text
//! GET http://host/path | name: value | body: text | trailer: name: value
//! measure
//! archive
//! notice TEXT     a notice; without TEXT, what the line before came to
//! log TEXT        a line of diagnostics, likewise
//! fail            the step fails, and with it the build
//! error TEXT      the build ends with this error
//! inert WHAT [N]  something of WASI 0.2
//! hold WHAT       takes tables of headers or requests, full ones, for ever
//! too-large       the build ends because the source is too large
//! ```

mod held;
mod inert;
mod request;

use hm_backend_sdk::{
    Backend, BackendError, BuildStatus, Cancellation, Capabilities, Description, EventSink, Level,
    LogChannel, RunRequest, SourceSize, StepEnded, StepId, StepStarted, StepStatus, log,
};

struct Caller;

impl Backend for Caller {
    fn describe() -> Description {
        Description {
            name: "caller".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Capabilities::OBSERVER,
        }
    }

    async fn run(
        request: RunRequest,
        events: EventSink,
        _cancellation: Cancellation,
    ) -> Result<BuildStatus, BackendError> {
        let mut passed = true;
        for (step, planned) in (0 as StepId..).zip(&request.plan.steps) {
            events.step_queued(step).await;
            events.step_started(StepStarted::new(step, "caller")).await;
            let mut status = StepStatus::Passed;
            let mut last = String::new();
            for line in planned.command.lines().filter(|line| !line.is_empty()) {
                let acted = act(line, &last, planned, &events).await;
                if acted.is_err() {
                    // No step may be open when a build ends.
                    let failed = StepEnded::new(step, StepStatus::Failed).exit_code(1);
                    events.step_ended(failed).await;
                }
                match acted? {
                    Some(said) => {
                        last.clone_from(&said);
                        events
                            .step_output(step, LogChannel::Stdout, format!("{said}\n").as_bytes())
                            .await;
                    }
                    None => status = StepStatus::Failed,
                }
            }
            passed &= status == StepStatus::Passed;
            let code = i32::from(status != StepStatus::Passed);
            events
                .step_ended(StepEnded::new(step, status).exit_code(code))
                .await;
        }
        Ok(if passed {
            BuildStatus::Passed
        } else {
            BuildStatus::Failed
        })
    }
}

/// Does what a line says and returns what came of it; none if the step is to fail.
async fn act(
    line: &str,
    last: &str,
    planned: &hm_backend_sdk::Step,
    events: &EventSink,
) -> Result<Option<String>, BackendError> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Ok(Some(match word {
        "fail" => return Ok(None),
        "error" => return Err(BackendError::Other(rest.into())),
        "too-large" => {
            return Err(BackendError::SourceTooLarge(SourceSize {
                observed_bytes: 9_000_000,
                cap_bytes: 8_000_000,
            }));
        }
        "inert" => inert::act(rest),
        "hold" => held::act(rest),
        "measure" => match hm_backend_sdk::bindings::hm::backend::source::measure().await {
            Ok(info) => format!("{} files, {} bytes", info.file_count, info.total_bytes),
            Err(error) => format!("error {error}"),
        },
        "archive" => archive().await,
        // What it sees of a variable of its plan.
        "env" => {
            let value = planned.env.iter().find(|(name, _)| name == rest);
            value.map_or("none".into(), |(_, value)| value.clone())
        }
        "notice" => {
            let text = if rest.is_empty() { last } else { rest };
            events.notice(Level::Info, text).await;
            "told".into()
        }
        "log" => {
            log::error(if rest.is_empty() { last } else { rest });
            "logged".into()
        }
        _ => request::send(line).await,
    }))
}

/// Reads an archive to its end. Returns its bytes and a digest of them (FNV-1a).
async fn archive() -> String {
    let archive = hm_backend_sdk::bindings::hm::backend::source::archive();
    let (bytes, done) = (archive.data.collect().await, archive.done.await);
    let digest = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    match done {
        Ok(info) => format!(
            "{} files, {} bytes, {} packed, {digest:016x}",
            info.file_count,
            info.total_bytes,
            bytes.len()
        ),
        Err(error) => format!("error {error}"),
    }
}

hm_backend_sdk::export!(Caller);

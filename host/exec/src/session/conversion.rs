//! Between the contract's types and the native ones.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use hm_plugin_protocol::{BuildStatus, EdgeKind, Plan};

use super::Session;
use crate::api::{BackendError, Broken, Capabilities, RunRequest};
use crate::component::bindings::hm::backend::types as wit;
use crate::sequencer::clean::one_line;

/// Returns the request as the guest gets it: secrets by name, but for those that it is
/// `granted` to read.
pub(super) fn request(request: &RunRequest, granted: &BTreeSet<String>) -> wit::RunRequest {
    let source = &request.source;
    let mut plan: Cow<'_, Plan> = Cow::Borrowed(&request.plan);
    if !granted.is_empty() {
        let secrets = &request.secrets;
        secrets.put_into(plan.to_mut(), |name| granted.contains(name));
    }
    wit::RunRequest {
        run_id: request.run_id.to_string(),
        plan: wit::Plan {
            pipeline: plan.pipeline.clone(),
            steps: plan.steps.iter().map(step).collect(),
            edges: plan
                .edges
                .iter()
                .map(|edge| wit::Edge {
                    before: edge.before,
                    after: edge.after,
                    kind: match edge.kind {
                        EdgeKind::BuildsIn => wit::EdgeKind::BuildsIn,
                        EdgeKind::DependsOn => wit::EdgeKind::DependsOn,
                    },
                })
                .collect(),
            timeout_ms: plan.timeout.map(millis),
            ir_json: plan.ir_json(),
        },
        commit: wit::CommitInfo {
            branch: source.branch.clone(),
            commit: source.commit.clone(),
            message: source.message.clone(),
            repository: source.repo_name.clone(),
        },
        options: wit::RunOptions {
            no_cache: request.options.no_cache,
            watch: request.options.watch,
            keep_going: request.options.keep_going,
            parallelism: request.options.parallelism.max(1),
        },
        settings: request.settings.clone(),
    }
}

fn step(step: &hm_plugin_protocol::Step) -> wit::Step {
    wit::Step {
        key: step.key.clone(),
        label: step.label.clone(),
        command: step.command.clone(),
        image: step.image.clone(),
        env: step
            .env
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        timeout_ms: step.timeout.map(millis),
        cacheable: step.is_cacheable(),
        runner: step.runner.clone(),
        runner_args: step.runner_args.as_ref().map(ToString::to_string),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn status(status: wit::BuildStatus) -> BuildStatus {
    match status {
        wit::BuildStatus::Passed => BuildStatus::Passed,
        wit::BuildStatus::Failed => BuildStatus::Failed,
        wit::BuildStatus::Cancelled => BuildStatus::Cancelled,
        wit::BuildStatus::TimedOut => BuildStatus::TimedOut,
    }
}

pub(super) fn capabilities(flags: wit::Capabilities) -> Capabilities {
    Capabilities {
        honors_parallelism: flags.contains(wit::Capabilities::HONORS_PARALLELISM),
        honors_keep_going: flags.contains(wit::Capabilities::HONORS_KEEP_GOING),
        is_observer: flags.contains(wit::Capabilities::OBSERVER),
        reports_cache_hits: flags.contains(wit::Capabilities::REPORTS_CACHE_HITS),
        supports_no_watch: flags.contains(wit::Capabilities::SUPPORTS_NO_WATCH),
        provides_watch_url: flags.contains(wit::Capabilities::PROVIDES_WATCH_URL),
        enforces_timeout: flags.contains(wit::Capabilities::ENFORCES_TIMEOUT),
    }
}

/// Bytes of an error's text (reference `sandbox`, section 6).
const TEXT_MAX: usize = 4 << 10;

/// Returns the guest's error with clean texts.
pub(super) fn error(session: &Session, error: wit::BackendError) -> BackendError {
    use wit::BackendError as E;
    let mut is_too_long = false;
    let mut text = |text: String| {
        is_too_long |= text.len() > TEXT_MAX;
        one_line(&session.hide(text))
    };
    let error = match error {
        E::Rejected(rejection) => BackendError::Rejected {
            code: text(rejection.code),
            message: text(rejection.message),
        },
        E::Unauthorized(why) => BackendError::Unauthorized(text(why)),
        E::NotFound(what) => BackendError::NotFound(text(what)),
        E::Unavailable(why) => BackendError::Unavailable(text(why)),
        E::Transport(why) => BackendError::Transport(text(why)),
        E::LogStream(why) => BackendError::LogStream(text(why)),
        E::SourceTooLarge(size) => BackendError::SourceTooLarge {
            observed_bytes: size.observed_bytes,
            cap_bytes: size.cap_bytes,
            largest_paths: Vec::new(),
        },
        E::Denied(why) => BackendError::Denied(text(why)),
        E::Cancelled => BackendError::Cancelled,
        E::Other(why) => BackendError::Other(text(why)),
    };
    if is_too_long {
        let broken = Broken::Protocol(format!("an error text of more than {TEXT_MAX} bytes"));
        return BackendError::Broken {
            name: session.backend().to_owned(),
            broken,
        };
    }
    error
}

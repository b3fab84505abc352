//! What the component exports.

use hm_backend_sdk::{
    Backend, BackendError, BuildStatus, Cancellation, Capabilities, Description, EventSink, Plan,
    Rejection, RunRequest, StepId,
};

use crate::driver::{self, Settings};
use crate::graph::{BadEdges, StepGraph};
use crate::machines::Machines;
use crate::wording::key;

/// The only runner name that this backend knows.
const RUNNER: &str = "vm";

/// Steps named in one rejection.
const NAMED: usize = 20;

/// The backend `local`.
#[derive(Debug)]
pub struct Local;

impl Backend for Local {
    fn describe() -> Description {
        Description {
            name: "local".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Capabilities::HONORS_PARALLELISM
                | Capabilities::HONORS_KEEP_GOING
                | Capabilities::REPORTS_CACHE_HITS,
        }
    }

    async fn check(request: &RunRequest) -> Result<(), BackendError> {
        known_runners(&request.plan)?;
        images(&request.plan)?;
        graph(&request.plan).map(drop)
    }

    async fn run(
        request: RunRequest,
        events: EventSink,
        cancellation: Cancellation,
    ) -> Result<BuildStatus, BackendError> {
        let graph = graph(&request.plan)?;
        let settings = Settings {
            slots: request.options.parallelism.max(1) as usize,
            keep_going: request.options.keep_going,
            cache: !request.options.no_cache,
        };
        let world = Machines { events };
        driver::drive(
            &world,
            &request.plan,
            graph,
            settings,
            cancellation.requested(),
        )
        .await
    }
}

fn rejected(code: &str, message: String) -> BackendError {
    BackendError::Rejected(Rejection {
        code: code.into(),
        message,
    })
}

/// Refuses runners that stand for another way of running a step.
fn known_runners(plan: &Plan) -> Result<(), BackendError> {
    let strangers: Vec<_> = (0..)
        .zip(&plan.steps)
        .filter_map(|(index, step)| {
            let runner = step.runner.as_deref().filter(|&runner| runner != RUNNER)?;
            Some(format!("{} (runner `{runner}`)", key(plan, index)))
        })
        .collect();
    if strangers.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the local backend has the runner `{RUNNER}` only, and cannot run {}; \
         take `runner` out of these steps",
        listed(&strangers)
    );
    Err(rejected("unknown_runner", message))
}

/// Refuses steps that have nothing to boot from; the host promises that there are none.
fn images(plan: &Plan) -> Result<(), BackendError> {
    let mut inherits = vec![false; plan.steps.len()];
    for edge in &plan.edges {
        if edge.kind == hm_backend_sdk::EdgeKind::BuildsIn
            && let Some(child) = inherits.get_mut(edge.after as usize)
        {
            *child = true;
        }
    }
    let bare: Vec<_> = (0..)
        .zip(&plan.steps)
        .filter(|(index, step)| step.image.is_none() && !inherits[*index as usize])
        .map(|(index, _): (StepId, _)| key(plan, index))
        .collect();
    if bare.is_empty() {
        return Ok(());
    }
    Err(rejected(
        "invalid_plan",
        format!("no image to boot from: {}", listed(&bare)),
    ))
}

fn graph(plan: &Plan) -> Result<StepGraph, BackendError> {
    StepGraph::new(plan.steps.len(), &plan.edges).map_err(|bad| {
        let message = match bad {
            BadEdges::OutOfRange => "an edge names a step that the plan does not have",
            BadEdges::Cycle => "the steps wait for each other in a circle",
        };
        rejected("invalid_plan", message.into())
    })
}

/// Joins names for a sentence, the first [`NAMED`] of them.
fn listed(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        rest => format!("{shown} and {rest} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::driver::simulation::{plan, step};

    #[test]
    fn every_foreign_runner_is_named_at_once() {
        let mut plan = plan(vec![step("a"), step("b"), step("c")], &[]);
        plan.steps[0].runner = Some("docker".into());
        plan.steps[1].runner = Some("vm".into());
        plan.steps[2].runner = Some("k8s".into());
        let Err(BackendError::Rejected(rejection)) = known_runners(&plan) else {
            panic!("not rejected");
        };
        assert!(
            rejection
                .message
                .contains("`a` (runner `docker`), `c` (runner `k8s`)")
        );
        assert!(rejection.message.contains("take `runner` out"));
        assert!(!rejection.message.contains("`b`"));
    }

    #[test]
    fn a_root_without_an_image_is_refused() {
        let mut plan = plan(vec![step("a")], &[]);
        assert!(images(&plan).is_ok());
        plan.steps[0].image = None;
        assert!(matches!(images(&plan), Err(BackendError::Rejected(_))));
    }
}

//! `hm cloud build watch`: any build, shown as `hm run` shows its own.

use std::collections::{BTreeMap, HashMap};

use hm_cloud_api::{Build, Job};
use hm_pipeline::project::Rendered;
use hm_plugin_protocol::{Edge, EdgeKind, Plan, Step};

use super::super::{Context, shown};
use super::Known;
use crate::failure::{Exit, Failure};
use crate::run::{self, CloudChoice};

/// Watches a build from where it is to its end; the exit code is its verdict.
pub(super) async fn plan(known: &Known<'_>) -> Result<(CloudChoice, Rendered), Failure> {
    let version = known.client.version().await?;
    let (build, jobs) = tokio::try_join!(known.build(), known.jobs())?;
    if jobs.is_empty() {
        return Err(jobless(known, &build));
    }
    let choice = CloudChoice {
        pipeline: Some(known.pipeline.clone()),
        org: Some(known.org.clone()),
        attach: Some(known.number),
        version: Some(version),
    };
    let rendered = Rendered {
        plan: of_jobs(&known.pipeline, &jobs)?,
        slug: known.pipeline.clone(),
        name: known.pipeline.clone(),
        file: format!("build #{}", known.number),
        warnings: Vec::new(),
        unknown_fields: Vec::new(),
        references: Vec::new(),
        definition: String::new(),
    };
    Ok((choice, rendered))
}

/// Shows it. Not within another runtime: a run has its own.
pub(super) fn show(
    (choice, rendered): (CloudChoice, Rendered),
    context: &Context<'_>,
) -> Result<Exit, Failure> {
    run::run_elsewhere(
        context.run_options(false),
        choice,
        rendered,
        context.terminal,
    )
}

fn jobless(known: &Known<'_>, build: &Build) -> Failure {
    let why = match (&build.error_message, &build.error_code) {
        (Some(message), Some(code)) => format!(": {} ({})", shown(message), shown(code)),
        (Some(text), None) | (None, Some(text)) => format!(": {}", shown(text)),
        (None, None) => String::new(),
    };
    let exit = if build.state.is_terminal() { 1 } else { 5 };
    let message = format!(
        "build #{} is {} and has no jobs{why}",
        known.number, build.state
    );
    Failure::new(Exit::Code(exit), message)
}

/// Makes a plan of what the service shows of one. Which of a job's predecessors it boots
/// from is not shown.
fn of_jobs(pipeline: &str, jobs: &[Job]) -> Result<Plan, Failure> {
    let places: HashMap<&str, u32> = jobs.iter().map(|job| job.id.as_str()).zip(0..).collect();
    let mut edges = Vec::new();
    for (after, job) in (0..).zip(jobs) {
        for before in &job.depends_on {
            // The list is in topological order, so that nothing waits for what comes later.
            let before = places.get(before.as_str()).copied();
            let before = before.filter(|before| *before < after).ok_or_else(|| {
                Failure::new(
                    Exit::Code(5),
                    "the service's jobs wait for each other in a circle",
                )
            })?;
            edges.push(Edge {
                before,
                after,
                kind: EdgeKind::DependsOn,
            });
        }
    }
    edges.sort_by_key(|edge| (edge.after, edge.before));
    edges.dedup();
    Ok(Plan {
        pipeline: pipeline.to_owned(),
        steps: jobs.iter().map(step).collect(),
        edges,
        timeout: None,
    })
}

fn step(job: &Job) -> Step {
    Step {
        key: job.step_key.clone().unwrap_or_else(|| job.id.clone()),
        label: job.name.clone(),
        command: job.command.clone().unwrap_or_default(),
        image: None,
        env: BTreeMap::new(),
        timeout: None,
        cache: None,
        runner: None,
        runner_args: None,
        network: None,
    }
}

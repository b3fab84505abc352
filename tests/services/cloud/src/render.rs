//! Objects as the service shows them: the fields of both versions at once.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::config::Oddities;
use crate::state::{BuildState, JobState};
use crate::world::{Build, Job, Organization, Pipeline, Transaction, World};

/// A time as database fields have it: UTC, six fractional digits.
pub(crate) fn time(at: Timestamp, oddities: &Oddities) -> String {
    let shown = at.checked_add(oddities.skew()).unwrap_or(at);
    format!("{shown:.6}")
}

pub(crate) fn user(world: &World) -> Value {
    json!({
        "uuid": world.user, "id": world.user, "email": world.email, "name": "Ada",
        "personal_org_slug": world.organization.slug,
    })
}

pub(crate) fn organization(organization: &Organization, oddities: &Oddities) -> Value {
    json!({
        "id": organization.id, "slug": organization.slug, "name": organization.name,
        "url": null, "created_at": time(organization.created_at, oddities),
    })
}

pub(crate) fn pipeline(pipeline: &Pipeline, oddities: &Oddities) -> Value {
    json!({
        "id": pipeline.id, "slug": pipeline.slug, "name": pipeline.name,
        "repository": pipeline.repository, "repo_name": pipeline.repo_name,
        "description": pipeline.description, "default_branch": pipeline.default_branch,
        "visibility": "private", "allow_manual": pipeline.allow_manual,
        "created_at": time(pipeline.created_at, oddities),
    })
}

pub(crate) fn build(build: &Build, pipeline: &Pipeline, oddities: &Oddities) -> Value {
    let at = |at: Option<Timestamp>| at.map(|at| time(at, oddities));
    let state = match build.state {
        BuildState::Scheduled if oddities.unknown_states => "queued_for_capacity",
        state => state.word(),
    };
    json!({
        "id": build.id, "number": build.number, "state": state, "pipeline_slug": pipeline.slug,
        "source": build.source, "branch": build.branch, "commit": build.commit,
        "message": build.message, "error_code": build.error_code,
        "error_message": build.error_message, "created_at": time(build.created_at, oddities),
        "scheduled_at": time(build.created_at, oddities),
        // The server never writes it.
        "started_at": null,
        "finished_at": at(build.finished_at),
    })
}

pub(crate) fn job(job: &Job, build: &Build, oddities: &Oddities) -> Value {
    let at = |at: Option<Timestamp>| at.map(|at| time(at, oddities));
    let state = match job.state {
        JobState::Assigned if oddities.unknown_states => "warming_up",
        state => state.word(),
    };
    let exit_code = match job.state {
        JobState::Passed if !oddities.exit_code_on_pass => None,
        _ => job.exit_code,
    };
    let before = job.plan.after.iter().map(|before| build.jobs[*before].id);
    json!({
        "id": job.id, "step_key": job.plan.key, "name": job.plan.label,
        "command": job.plan.command, "state": state, "exit_code": exit_code,
        "soft_failed": false, "soft_fail_policy": null, "retry_policy": null,
        "error_code": job.error_code, "error_message": job.error_message,
        "depends_on": before.collect::<Vec<_>>(),
        "created_at": time(job.created_at, oddities),
        "started_at": at(job.started_at), "finished_at": at(job.finished_at),
    })
}

pub(crate) fn transaction(transaction: &Transaction, oddities: &Oddities) -> Value {
    json!({
        "id": transaction.id, "amount_cents": transaction.amount_cents,
        "source": transaction.source, "description": transaction.description,
        "created_at": time(transaction.created_at, oddities),
    })
}

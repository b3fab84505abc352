//! Submission of builds.

use std::sync::{Arc, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use jiff::Timestamp;

use crate::answer::{self, Answer, value};
use crate::api::pipelines;
use crate::error::Refused;
use crate::incoming::Incoming;
use crate::plan::{Plan, Unreadable};
use crate::service::Service;
use crate::state::BuildState;
use crate::world::{Build, BuildAt, World};
use crate::{engine, render};

/// What may have started a build.
const SOURCES: [&str; 5] = ["api", "ui", "webhook", "trigger_job", "schedule"];

pub(crate) fn by_slug(service: &Arc<Service>, incoming: &Incoming) -> Result<Answer, Refused> {
    let world = service.world();
    let pipeline = pipelines::find(&world, incoming)?;
    submit(service, world, pipeline, incoming)
}

/// Finds the pipeline by repository and name in it; those made by hand have no such name.
pub(crate) fn by_source(service: &Arc<Service>, incoming: &Incoming) -> Result<Answer, Refused> {
    let world = service.world();
    let (repo, slug) = (incoming.text("repo_name"), incoming.text("source_slug"));
    let pipelines = &world.organization.pipelines;
    let found = pipelines.iter().position(|pipeline| {
        let same_repo = match (&pipeline.repo_name, repo) {
            (Some(own), Some(asked)) => own.eq_ignore_ascii_case(asked),
            _ => false,
        };
        same_repo && pipeline.source_slug.is_some() && pipeline.source_slug.as_deref() == slug
    });
    let pipeline = found.ok_or_else(|| Refused::not_found("pipeline"))?;
    submit(service, world, pipeline, incoming)
}

fn submit(
    service: &Arc<Service>,
    mut world: MutexGuard<'_, World>,
    pipeline: usize,
    incoming: &Incoming,
) -> Result<Answer, Refused> {
    let source = incoming.text("source").unwrap_or("api");
    let allow_manual = world.organization.pipelines[pipeline].allow_manual;
    if !allow_manual && matches!(source, "api" | "ui") {
        return Err(Refused::manual_disabled());
    }
    if world.organization.balance_cents <= 0 {
        return Err(Refused::balance());
    }
    if !SOURCES.contains(&source) {
        return Err(Refused::invalid("build_invalid", "source is invalid"));
    }
    let now = Timestamp::now();
    let at = insert(&mut world, pipeline, incoming, source, now);
    let build = world.build_mut(at);
    // The row stays, `scheduled` for ever.
    let archive = STANDARD
        .decode(incoming.text("source_b64").unwrap_or_default())
        .map_err(|_| Refused::invalid("build_invalid", "source_b64 is no base64"))?;
    build.archive = Bytes::from(archive);
    let text = incoming.text("pipeline_ir").unwrap_or_default();
    let plan = if text.trim().is_empty() {
        let why = "this service renders no pipelines; send pipeline_ir";
        Err(Unreadable::Rejected("render_failed", why.to_owned()))
    } else {
        Plan::read(text)
    };
    match plan {
        Ok(plan) if service.oddities.no_jobs => drop(plan),
        Ok(plan) => build.plan(plan, now),
        Err(Unreadable::Rejected(code, message)) => {
            build.state = BuildState::Failed;
            build.error_code = Some(code);
            build.error_message = Some(message.clone());
            return Err(Refused::invalid("build_plan_rejected", message));
        }
        Err(Unreadable::Crash) => return Ok(answer::fallback(StatusCode::INTERNAL_SERVER_ERROR)),
    }
    let pipeline = &world.organization.pipelines[at.pipeline];
    let shown = render::build(world.build(at), pipeline, &service.oddities);
    let has_jobs = !world.build(at).jobs.is_empty();
    drop(world);
    if has_jobs {
        engine::start(service, at);
    }
    Ok(value(StatusCode::CREATED, &shown))
}

fn insert(
    world: &mut World,
    pipeline: usize,
    incoming: &Incoming,
    source: &str,
    now: Timestamp,
) -> BuildAt {
    let text = |name| incoming.text(name).map(str::to_owned);
    let builds = &mut world.organization.pipelines[pipeline].builds;
    builds.push(Build {
        number: builds.len() as u64 + 1,
        source: source.to_owned(),
        branch: text("branch"),
        commit: text("commit"),
        message: text("message"),
        ..Build::new(now)
    });
    BuildAt {
        pipeline,
        build: builds.len() - 1,
    }
}

//! Jobs of a build.

use hyper::StatusCode;
use serde_json::json;

use crate::answer::{Answer, value};
use crate::api::builds;
use crate::error::Refused;
use crate::incoming::Incoming;
use crate::render;
use crate::service::Service;

/// All at once, in topological order; there are no pages.
pub(crate) fn list(service: &Service, incoming: &Incoming) -> Result<Answer, Refused> {
    let world = service.world();
    let build = world.build(builds::find(&world, incoming)?);
    let jobs = build.jobs.iter();
    let jobs = jobs.map(|job| render::job(job, build, &service.oddities));
    let jobs: Vec<_> = jobs.collect();
    Ok(value(
        StatusCode::OK,
        &json!({"data": jobs, "next_cursor": null}),
    ))
}

pub(crate) fn get(service: &Service, incoming: &Incoming) -> Result<Answer, Refused> {
    let world = service.world();
    let build = world.build(builds::find(&world, incoming)?);
    let id = incoming.route.parameter("job_id").to_lowercase();
    let job = build.jobs.iter().find(|job| job.id.to_string() == id);
    let job = job.ok_or_else(|| Refused::not_found("job"))?;
    Ok(value(
        StatusCode::OK,
        &render::job(job, build, &service.oddities),
    ))
}

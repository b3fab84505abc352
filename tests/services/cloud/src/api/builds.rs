//! Builds, after they were submitted.

use hyper::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::answer::{Answer, value};
use crate::api::pipelines;
use crate::error::Refused;
use crate::incoming::Incoming;
use crate::paging::page;
use crate::render;
use crate::service::Service;
use crate::state::{BuildState, JobState};
use crate::world::{BuildAt, World};

pub(crate) fn list(service: &Service, incoming: &Incoming) -> Result<Answer, Refused> {
    let world = service.world();
    let pipeline = &world.organization.pipelines[pipelines::find(&world, incoming)?];
    let newest = pipeline.builds.iter().rev();
    let builds = newest.map(|build| render::build(build, pipeline, &service.oddities));
    let page = page(builds.collect(), incoming, service.oddities.ignored_cursor);
    Ok(value(StatusCode::OK, &page))
}

pub(crate) fn get(service: &Service, incoming: &Incoming) -> Result<Answer, Refused> {
    let world = service.world();
    let at = find(&world, incoming)?;
    Ok(shown(service, &world, at))
}

/// Finds the build of a path.
pub(crate) fn find(world: &World, incoming: &Incoming) -> Result<BuildAt, Refused> {
    let pipeline = pipelines::find(world, incoming)?;
    let number = incoming.route.parameter("number").parse::<u64>().ok();
    let builds = &world.organization.pipelines[pipeline].builds;
    let build = builds.iter().position(|build| Some(build.number) == number);
    let build = build.ok_or_else(|| Refused::not_found("build"))?;
    Ok(BuildAt { pipeline, build })
}

fn shown(service: &Service, world: &World, at: BuildAt) -> Answer {
    let pipeline = &world.organization.pipelines[at.pipeline];
    let shown = render::build(world.build(at), pipeline, &service.oddities);
    value(StatusCode::OK, &shown)
}

/// Cancels as the server does: also what has ended, which is then spoilt; and a build whose
/// jobs had no machine yet stays `canceling`, as nothing finishes after that.
pub(crate) fn cancel(service: &Service, incoming: &Incoming) -> Result<Answer, Refused> {
    let mut world = service.world();
    let at = find(&world, incoming)?;
    let build = world.build_mut(at);
    build.state = BuildState::Canceling;
    build.is_cancelled = true;
    for job in &mut build.jobs {
        match job.state {
            JobState::Pending | JobState::Scheduled => {
                job.state = JobState::Canceled;
                job.finished_at = Some(Timestamp::now());
            }
            JobState::Assigned | JobState::Running => job.state = JobState::Canceling,
            _ => {}
        }
    }
    build.stop.cancel();
    Ok(shown(service, &world, at))
}

pub(crate) fn log_token(service: &Service, incoming: &Incoming) -> Result<Answer, Refused> {
    let world = service.world();
    let at = find(&world, incoming)?;
    let seconds = service.oddities.log_token_seconds;
    let life = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    let now = Timestamp::now();
    let expires_at = now.checked_add(life).unwrap_or(Timestamp::MAX);
    let token = service.log_tokens().mint(world.build(at).id, expires_at);
    let told = expires_at
        .checked_add(service.oddities.skew())
        .unwrap_or(expires_at);
    Ok(value(
        StatusCode::OK,
        // No fraction, unlike database fields.
        &json!({"token": token, "expires_at": format!("{told:.0}")}),
    ))
}

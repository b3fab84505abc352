//! Pipelines of the organization.

use hyper::StatusCode;
use jiff::Timestamp;
use uuid::Uuid;

use crate::answer::{Answer, value};
use crate::error::Refused;
use crate::incoming::Incoming;
use crate::paging::page;
use crate::render;
use crate::service::Service;
use crate::world::{Pipeline, World, slug};

pub(crate) fn list(service: &Service, incoming: &Incoming) -> Answer {
    let world = service.world();
    let all = world.organization.pipelines.iter();
    let all = all.map(|pipeline| render::pipeline(pipeline, &service.oddities));
    let page = page(all.collect(), incoming, service.oddities.ignored_cursor);
    value(StatusCode::OK, &page)
}

pub(crate) fn get(service: &Service, incoming: &Incoming) -> Result<Answer, Refused> {
    let world = service.world();
    let at = find(&world, incoming)?;
    let pipeline = &world.organization.pipelines[at];
    Ok(value(
        StatusCode::OK,
        &render::pipeline(pipeline, &service.oddities),
    ))
}

/// Finds the pipeline of a path.
pub(crate) fn find(world: &World, incoming: &Incoming) -> Result<usize, Refused> {
    let slug = incoming.route.parameter("pipeline");
    let pipelines = &world.organization.pipelines;
    let found = pipelines.iter().position(|pipeline| pipeline.slug == slug);
    found.ok_or_else(|| Refused::not_found("pipeline"))
}

pub(crate) fn create(service: &Service, incoming: &Incoming) -> Result<Answer, Refused> {
    let mut world = service.world();
    let name = incoming.text("name").unwrap_or_default();
    let slug = slug(name);
    if slug.is_empty() {
        return Err(Refused::invalid(
            "pipeline_invalid",
            "name must contain a letter or a digit",
        ));
    }
    let pipelines = &mut world.organization.pipelines;
    if pipelines.iter().any(|known| known.slug == slug) {
        let message = format!("The slug {slug:?} is taken in this organization.");
        return Err(Refused::invalid("pipeline_slug_taken", message));
    }
    let repository = incoming.text("repository").unwrap_or_default().to_owned();
    let repo_name = incoming.text("repo_name").map(str::to_owned);
    pipelines.push(Pipeline {
        id: Uuid::new_v4(),
        slug,
        name: name.to_owned(),
        repo_name: repo_name.or_else(|| derived(&repository)),
        repository,
        source_slug: None,
        description: incoming.text("description").map(str::to_owned),
        default_branch: incoming.text("default_branch").unwrap_or("main").to_owned(),
        allow_manual: true,
        created_at: Timestamp::now(),
        builds: Vec::new(),
    });
    let made = &pipelines[pipelines.len() - 1];
    Ok(value(
        StatusCode::CREATED,
        &render::pipeline(made, &service.oddities),
    ))
}

/// The last two parts of a repository's address.
fn derived(repository: &str) -> Option<String> {
    let trimmed = repository.trim_end_matches(".git");
    let mut parts = trimmed.rsplit(['/', ':']);
    let (repo, owner) = (parts.next()?, parts.next()?);
    (!owner.is_empty() && !repo.is_empty()).then(|| format!("{owner}/{repo}"))
}

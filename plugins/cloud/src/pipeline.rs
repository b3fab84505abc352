//! Which pipeline of the service a build belongs to; makes it if there is none.

use std::collections::BTreeSet;

use hm_backend_sdk::http::{Method, encode_segment};
use hm_backend_sdk::{BackendError, CommitInfo, clock};
use hm_cloud_api::{CreatePipeline, Page, Pipeline};

use crate::service::{Gone, PATIENCE, Service, pauses};

/// What the service calls the main line where nobody says it.
const DEFAULT_BRANCH: &str = "main";

/// Pages of a list that are followed: ten thousand pipelines.
const MOST_PAGES: usize = 100;

/// Finds the pipeline `name`, or makes it. `is_fixed` says that the user chose this one:
/// without, one of another repository is left alone, and the repository's name put before.
///
/// # Errors
/// The service refused, or did not answer.
pub(crate) async fn find_or_make(
    service: &Service,
    name: &str,
    is_fixed: bool,
    commit: &CommitInfo,
) -> Result<String, BackendError> {
    let own = commit.repository.as_deref();
    match get(service, name).await? {
        Some(found) if is_fixed || belongs(&found, own) => return Ok(found.slug),
        None => return make(service, name, own).await,
        Some(_) => {}
    }
    let longer = format!("{} {name}", own.unwrap_or_default());
    let slug = longer.replace(['/', ' '], "-").to_lowercase();
    match get(service, &slug).await? {
        Some(found) => Ok(found.slug),
        None => make(service, &longer, own).await,
    }
}

/// Whether builds of a repository may go to a pipeline. One that was made without a
/// repository takes all.
fn belongs(pipeline: &Pipeline, own: Option<&str>) -> bool {
    match (&pipeline.repo_name, own) {
        (Some(its), Some(own)) => its.eq_ignore_ascii_case(own),
        _ => true,
    }
}

async fn get(service: &Service, slug: &str) -> Result<Option<Pipeline>, BackendError> {
    match service
        .get(&service.path(&["pipelines", slug]), PATIENCE)
        .await
    {
        Ok(found) => Ok(Some(found)),
        Err(gone) if gone.is("pipeline_not_found") => Ok(None),
        Err(gone) => Err(gone.into()),
    }
}

/// Makes a pipeline and returns the slug that the service gave it. Safe to repeat: a second
/// one of the name is refused.
async fn make(service: &Service, name: &str, own: Option<&str>) -> Result<String, BackendError> {
    let local = format!("local/{name}");
    let wanted = CreatePipeline {
        name,
        repository: own.unwrap_or(&local),
        default_branch: DEFAULT_BRANCH,
        repo_name: own,
    };
    let path = service.path(&["pipelines"]);
    let (began, mut pauses) = (clock::Instant::now(), pauses());
    loop {
        let request = service.request(|client| client.request(Method::Post, &path).json(&wanted));
        match service.once::<Pipeline>(request).await {
            Ok(made) => return Ok(made.slug),
            Err(gone) if gone.is("pipeline_slug_taken") => return taken(service, name, gone).await,
            Err(gone) if gone.is_passing() && began.elapsed() < PATIENCE => {
                clock::sleep(pauses.next_pause()).await;
            }
            Err(gone) => return Err(gone.into()),
        }
    }
}

/// Finds the pipeline of a name whose slug only the service knows: somebody else made it
/// just now, or we did and the answer was lost.
async fn taken(service: &Service, name: &str, gone: Gone) -> Result<String, BackendError> {
    let all = all(service).await?;
    let found = all.into_iter().find(|pipeline| pipeline.name == name);
    found
        .map(|pipeline| pipeline.slug)
        .ok_or_else(|| gone.into())
}

/// Reads all pipelines.
///
/// # Errors
/// The service refused, or did not answer.
pub(crate) async fn all(service: &Service) -> Result<Vec<Pipeline>, BackendError> {
    let path = service.path(&["pipelines"]);
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    let mut cursor: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let query = match &cursor {
            Some(cursor) => format!("{path}?limit=100&cursor={}", encode_segment(cursor)),
            None => format!("{path}?limit=100"),
        };
        let page: Page<Pipeline> = service.get(&query, PATIENCE).await?;
        let before = all.len();
        let new = page.data.into_iter();
        all.extend(new.filter(|pipeline| seen.insert(pipeline.slug.clone())));
        cursor = page.next_cursor;
        // A cursor that the service did not like leads to the first page again.
        if cursor.is_none() || all.len() == before {
            break;
        }
    }
    Ok(all)
}

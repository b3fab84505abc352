//! Makes a build of the plan and the source: one, also where an answer is lost.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hm_backend_sdk::clock::{self, Instant};
use hm_backend_sdk::{BackendError, Rejection, RunRequest, SourceSize, source};
use hm_cloud_api::{Build, CreateBuild, Kind, MOST_BODY_BYTES, Page};

use crate::pipeline;
use crate::service::{Gone, Known, PATIENCE, Service, pauses};
use crate::settings::Settings;

/// For the upload of eight megabytes on a slow line.
const UPLOAD: Duration = Duration::from_secs(300);

/// Builds among which one of ours is looked for.
const NEWEST: usize = 50;

/// Submits the build.
///
/// # Errors
/// The service refused or did not answer, or the source is over its limit.
pub(crate) async fn submit(
    service: &Service,
    request: &RunRequest,
    settings: &Settings,
) -> Result<Known, BackendError> {
    let commit = &request.commit;
    let marker = format!("hm run {}", request.run_id);
    let message = match &commit.message {
        Some(message) => format!("{message}\n\n{marker}"),
        None => marker.clone(),
    };
    let mut build = CreateBuild {
        repo_name: None,
        source_slug: None,
        branch: &commit.branch,
        commit: &commit.commit,
        message: Some(&message),
        source: "api",
        pipeline_ir: &request.plan.ir_json,
        source_b64: "",
    };
    let own = commit.repository.as_deref();
    let by_source = own.filter(|_| settings.pipeline.is_none());
    if let Some(repository) = by_source {
        build.repo_name = Some(repository);
        build.source_slug = Some(&request.plan.pipeline);
    }
    // The longer of the two bodies is the one that must fit.
    let archive = archive(&build).await?;
    build.source_b64 = &archive;
    if by_source.is_some() {
        let place = Place::BySource(own.unwrap_or_default());
        match create(service, &place, &build, &marker).await {
            Ok(known) => return Ok(known),
            // Pipelines that were made by hand are not found in this way.
            Err(gone) if gone.is("pipeline_not_found") => {}
            Err(gone) => return Err(refused(gone, &archive)),
        }
        (build.repo_name, build.source_slug) = (None, None);
    }
    let name = settings.pipeline.as_deref();
    let slug = pipeline::find_or_make(
        service,
        name.unwrap_or(&request.plan.pipeline),
        name.is_some(),
        commit,
    )
    .await?;
    create(service, &Place::Slug(&slug), &build, &marker)
        .await
        .map_err(|gone| refused(gone, &archive))
}

/// Returns the source tree as the service wants it, if the whole body is under its limit.
async fn archive(build: &CreateBuild<'_>) -> Result<String, BackendError> {
    let rest = serde_json::to_vec(build).map_err(|error| BackendError::Other(error.to_string()))?;
    let Some(room) = MOST_BODY_BYTES.checked_sub(rest.len()) else {
        return Err(BackendError::Rejected(Rejection {
            code: "plan_too_large".into(),
            message: format!(
                "the pipeline takes {} bytes, and the service takes {MOST_BODY_BYTES} with the source",
                rest.len()
            ),
        }));
    };
    // Three bytes are four characters, and the last are padded.
    let cap = room / 4 * 3;
    let (mut bytes, mut observed) = (Vec::new(), 0_u64);
    let mut archive = source::archive();
    while let Some(chunk) = archive.chunk().await {
        observed += chunk.len() as u64;
        // Counted to its end, so that the user reads by how much it is too large.
        if bytes.len() + chunk.len() <= cap {
            bytes.extend(chunk);
        }
    }
    archive.finish().await?;
    if observed > cap as u64 {
        return Err(BackendError::SourceTooLarge(SourceSize {
            observed_bytes: observed,
            cap_bytes: cap as u64,
        }));
    }
    Ok(STANDARD.encode(bytes))
}

/// Says what was refused; a limit that the service has lowered is one on the source too.
fn refused(gone: Gone, archive: &str) -> BackendError {
    match &gone {
        Gone::Refused(error) if error.kind() == Kind::TooLarge => {
            let observed_bytes = (archive.len() / 4 * 3) as u64;
            BackendError::SourceTooLarge(SourceSize {
                observed_bytes,
                cap_bytes: observed_bytes.saturating_sub(1),
            })
        }
        _ => gone.into(),
    }
}

/// How the service finds the pipeline.
enum Place<'a> {
    /// By its slug.
    Slug(&'a str),
    /// By the repository and the pipeline's name in it; holds the repository.
    BySource(&'a str),
}

/// Makes the build. The service has no way to tell a repetition, so that where it may have
/// taken the first try its newest builds are searched for our mark before the next.
async fn create(
    service: &Service,
    place: &Place<'_>,
    build: &CreateBuild<'_>,
    marker: &str,
) -> Result<Known, Gone> {
    let path = match place {
        Place::Slug(slug) => service.path(&["pipelines", slug, "builds"]),
        Place::BySource(_) => service.path(&["builds"]),
    };
    let (began, mut pauses) = (Instant::now(), pauses());
    loop {
        let request = service.request(|client| client.post(&path).json(build).timeout(UPLOAD));
        let gone = match service.once::<Build>(request).await {
            Ok(made) => {
                return Ok(Known {
                    pipeline: made.pipeline_slug,
                    number: made.number,
                });
            }
            Err(gone) if gone.is_passing() => gone,
            Err(gone) => return Err(gone),
        };
        clock::sleep(pauses.next_pause()).await;
        if !gone.is_before_sending()
            && let Some(known) = marked(service, place, marker).await?
        {
            return Ok(known);
        }
        if began.elapsed() > PATIENCE {
            return Err(gone);
        }
    }
}

/// Finds our build among the newest.
async fn marked(service: &Service, place: &Place<'_>, marker: &str) -> Result<Option<Known>, Gone> {
    let slugs = match place {
        Place::Slug(slug) => vec![(*slug).to_owned()],
        Place::BySource(repository) => {
            let all = pipeline::all(service).await.unwrap_or_default();
            let of_ours = all.into_iter().filter(|pipeline| {
                let its = pipeline.repo_name.as_deref();
                its.is_some_and(|its| its.eq_ignore_ascii_case(repository))
            });
            of_ours.map(|pipeline| pipeline.slug).collect()
        }
    };
    for slug in slugs {
        let path = service.path(&["pipelines", &slug, "builds"]);
        let page: Page<Build> = service
            .get(&format!("{path}?limit={NEWEST}"), PATIENCE)
            .await?;
        let is_ours = |build: &Build| {
            let message = build.message.as_deref();
            message.is_some_and(|message| message.ends_with(marker))
        };
        if let Some(build) = page.data.iter().find(|build| is_ours(build)) {
            return Ok(Some(Known {
                pipeline: slug,
                number: build.number,
            }));
        }
    }
    Ok(None)
}

//! One build, from its start to its exit code.

use std::collections::BTreeMap;
use std::io;

use hm_exec::{BackendHandle, BuildOutcome, KeyLog, RunRequest};
use hm_plugin_protocol::Plan;
use hm_render::Renderer;
use jiff::Timestamp;
use tokio::task::block_in_place;

use super::backend::{self, Ready, Surroundings};
use super::format::{Format, look};
use super::notes::Notes;
use super::record::{self, Ingredients, Meta, Record};
use super::reports::Reports;
use super::view::{Viewed, Viewing};
use super::{Options, Prepared, git, signals};
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Runs the build on a runtime of its own.
///
/// # Errors
/// There was no build, or it ended without a verdict of its own.
pub(super) fn run(
    options: &Options,
    prepared: &Prepared,
    request: RunRequest,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Exit::Unavailable, "cannot start threads", error))?;
    let done = runtime.block_on(drive(options, prepared, request, terminal));
    // What was dropped has been waited for; a thread that still blocks is not.
    runtime.shutdown_background();
    done
}

async fn drive(
    options: &Options,
    prepared: &Prepared,
    mut request: RunRequest,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let reports = Reports::open(&options.reports)?;
    let notes = Notes::default();
    notes.listen(options.verbose);
    let target = signals::install(notes.clone())
        .map_err(|error| Failure::caused(Exit::Unavailable, "cannot listen to signals", error))?;
    // Starting git twice takes as long as loading the backend.
    let source = tokio::spawn({
        // A build that is there already has its source.
        let root = (!prepared.choice.is_attached()).then(|| request.repo_root.clone());
        let (branch, message) = (options.branch.clone(), options.message.clone());
        async move { Some(git::describe(&root?, branch, message).await) }
    });
    let surroundings = Surroundings {
        folders: &prepared.folders,
        settings: &prepared.settings,
        root: &prepared.root,
        plan: &request.plan,
        terminal,
    };
    let ready = block_in_place(|| backend::prepare(&prepared.choice, &surroundings))?;
    request.source = source.await.ok().flatten().unwrap_or_default();
    if let Some(commit) = &options.commit {
        request.source.commit.clone_from(commit);
    }
    warn(&ready, terminal);
    let done = async {
        let record = block_in_place(|| begin_record(prepared, &request, ready.digest.clone()))?;
        let format = Format::choose(prepared.settings.format(), terminal);
        let look = look(options, prepared, format, terminal);
        let renderer = format.renderer(&request.plan, &look)?;
        let reports = reports.begin(&request.plan, prepared.choice.name());
        let keys = Explained::begin(&request);
        let handle = match ready.backend.start(request).await {
            Ok(handle) => handle,
            Err(error) => {
                let failure = backend::backend_failure(error, ready.digest.as_deref());
                // The failure is the news; a record that cannot be ended is not.
                let _ = record.finish(i32::from(failure.exit().code()));
                return Err(failure);
            }
        };
        let view = View {
            record,
            renderer,
            reports,
            format,
        };
        let ended = watch(handle, view, &notes, &target).await?;
        conclude(ended, keys.end().await, ready.digest.as_deref())
    };
    let done = done.await;
    warn(&ready, terminal);
    ready.close().await;
    done
}

/// How long the end of a run waits for what only explanations need.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(50);

/// Gathers what `hm explain` needs, beside the build.
struct Explained {
    plan: Plan,
    keys: KeyLog,
    no_cache: bool,
    watched: tokio::task::JoinHandle<BTreeMap<String, BTreeMap<String, String>>>,
}

impl Explained {
    fn begin(request: &RunRequest) -> Self {
        let (plan, root) = (request.plan.clone(), request.repo_root.clone());
        Self {
            plan: request.plan.clone(),
            keys: request.options.keys.clone(),
            no_cache: request.options.no_cache,
            watched: tokio::task::spawn_blocking(move || hm_pipeline::watched(&plan, &root)),
        }
    }

    async fn end(self) -> Ingredients {
        let mut ingredients = Ingredients::of(&self.plan, self.keys.get(), self.no_cache);
        // Nobody waits for a tree that takes longer to hash than the build took.
        if let Ok(Ok(watched)) = tokio::time::timeout(PATIENCE, self.watched).await {
            ingredients.watched = watched;
        }
        ingredients
    }
}

/// A build that has ended, and what became of its record and its view.
struct Ended {
    outcome: Result<BuildOutcome, hm_exec::BackendError>,
    viewed: Viewed,
}

/// Everything that takes a build's events.
struct View {
    record: Record,
    renderer: Box<dyn Renderer>,
    reports: Reports,
    format: Format,
}

/// Reads the build to its end.
async fn watch(
    handle: BackendHandle,
    view: View,
    notes: &Notes,
    target: &signals::Target,
) -> Result<Ended, Failure> {
    let (events, control) = handle.into_parts();
    let canceller = control.canceller();
    target.set(canceller.clone());
    let format = view.format;
    let viewing = Viewing::start(
        events,
        (view.record, view.reports),
        view.renderer,
        &canceller,
    )
    .map_err(|error| Failure::caused(Exit::Unavailable, "cannot start a thread", error))?;
    if format == Format::Human {
        notes.lead_to(Some(viewing.notes.clone()));
    }
    let outcome = control.wait().await;
    notes.lead_to(None);
    let shown = outcome.as_ref().ok().cloned();
    let viewed = block_in_place(|| viewing.finish(shown));
    Ok(Ended { outcome, viewed })
}

/// Ends the record and finds the exit code.
fn conclude(build: Ended, keys: Ingredients, digest: Option<&str>) -> Result<Exit, Failure> {
    let verdict = match build.outcome {
        Ok(outcome) => Ok(Exit::from_code(outcome.status.exit_code())),
        Err(error) => Err(backend::backend_failure(error, digest)),
    };
    let code = verdict
        .as_ref()
        .map_or_else(|failure| failure.exit(), |exit| *exit)
        .code();
    let mut reported = Ok(());
    let unwritten = match build.viewed.recorded {
        None => Some(io::Error::other("its thread broke off")),
        Some(recorded) => {
            reported = recorded.reports.write();
            match recorded.failed {
                Some(error) => Some(error),
                None => recorded
                    .record
                    .keys(&keys)
                    .and_then(|()| recorded.record.finish(i32::from(code)))
                    .err(),
            }
        }
    };
    if let Some(error) = unwritten {
        return Err(Failure::caused(
            Exit::Unavailable,
            "the record of the run could not be written",
            error,
        )
        .hint("free some space, or set HM_STATE_DIR to a folder on another disk"));
    }
    // A build that could not be run is told before a report of it that could not be written.
    if let (Ok(_), Err(failure)) = (&verdict, reported) {
        return Err(failure);
    }
    match build.viewed.shown {
        Ok(()) => verdict,
        // Who closed the pipe knows; the build was cancelled if it had not ended.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => match verdict {
            Ok(exit) => Ok(exit),
            Err(_) => Err(Failure::silent(Exit::Cancelled)),
        },
        Err(error) => Err(Failure::caused(
            Exit::Unavailable,
            "the output could not be written",
            error,
        )),
    }
}

/// Tells what the subsystem wants the user to know.
fn warn(ready: &Ready, terminal: &Terminal) {
    for warning in ready
        .subsystem
        .iter()
        .flat_map(|subsystem| subsystem.warnings())
    {
        terminal.warn(&warning);
    }
}

fn begin_record(
    prepared: &Prepared,
    request: &RunRequest,
    digest: Option<String>,
) -> Result<Record, Failure> {
    let runs = super::state(&prepared.folders)?.runs();
    record::prune(&runs);
    let meta = Meta {
        run_id: request.run_id,
        pipeline: request.plan.pipeline.clone(),
        root: prepared.root.clone(),
        backend: prepared.choice.name().to_owned(),
        digest,
        branch: request.source.branch.clone(),
        commit: request.source.commit.clone(),
        message: request.source.message.clone(),
        started_at: Timestamp::now(),
        finished_at: None,
        exit_code: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Record::begin(&runs, meta, &request.plan).map_err(|error| {
        Failure::caused(
            Exit::Unavailable,
            format!("cannot begin the record of the run in {}", runs.display()),
            error,
        )
        .hint("free some space, or set HM_STATE_DIR to a folder on another disk")
    })
}

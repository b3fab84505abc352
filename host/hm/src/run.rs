//! `hm run`: from a checked pipeline to a verdict.

mod automatic;
mod backend;
mod cloud;
mod drive;
mod dry;
mod environment;
mod format;
mod git;
mod machines;
mod notes;
mod question;
pub(crate) mod record;
mod reports;
mod secrets;
mod signals;
mod stranger;
mod view;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use hm_exec::{ImageMap, RunOptions, RunRequest, Secrets, SourceMeta};
use hm_pipeline::project::Rendered;
use uuid::Uuid;

pub(crate) use backend::{Choice, Stranger, engine_name, limits, load_failure, network, runtime};
pub(crate) use cloud::{CloudChoice, cloud_failure, config as cloud_config};
pub(crate) use machines::{EngineName, cache, docker, exposed, images, sandbox, state, vm_failure};
pub(crate) use question::{describe, size};
pub(crate) use reports::Wanted as WantedReport;

use crate::config::{Folders, Layer, Settings};
use crate::failure::{Exit, Failure};
use crate::pipelines::{self, Place};
use crate::terminal::Terminal;

/// A run as the user wants it, free of how it was typed.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Which pipeline; the only one if none is named.
    pub(crate) pipeline: Option<String>,
    /// `-d`.
    pub(crate) dir: Option<PathBuf>,
    /// `--file`.
    pub(crate) file: Option<PathBuf>,
    /// `--env-file`, in order.
    pub(crate) env_files: Vec<PathBuf>,
    /// `-e`, in order.
    pub(crate) env: Vec<String>,
    /// `--secret`, as typed.
    pub(crate) secrets: Vec<String>,
    /// Neither use nor keep cached results.
    pub(crate) no_cache: bool,
    /// A failure stops only what depends on it.
    pub(crate) keep_going: bool,
    /// Budget of the build.
    pub(crate) timeout: Option<Duration>,
    /// Instead of what git says.
    pub(crate) branch: Option<String>,
    /// Instead of what git says.
    pub(crate) commit: Option<String>,
    /// The user's words.
    pub(crate) message: Option<String>,
    /// Leave as soon as a service has taken the build.
    pub(crate) no_watch: bool,
    /// Print the plan and stop.
    pub(crate) dry_run: bool,
    /// Files to write about its end.
    pub(crate) reports: Vec<WantedReport>,
    /// How often `-v` was given.
    pub(crate) verbose: u8,
    /// `-q`.
    pub(crate) quiet: bool,
    /// Flags that the configuration knows too.
    pub(crate) settings: Layer,
}

/// Everything that is known before anything starts.
pub(crate) struct Prepared {
    pub(crate) folders: Folders,
    pub(crate) settings: Settings,
    pub(crate) choice: Choice,
    pub(crate) rendered: Rendered,
    /// Of the repository, canonical.
    pub(crate) root: PathBuf,
}

/// Runs a pipeline; the exit code is the verdict.
///
/// # Errors
/// There was no build, or it ended without a verdict of its own.
pub(crate) fn run(options: Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let prepared = prepare(&options, terminal)?;
    let secrets = secrets::read(&options.secrets, |name| std::env::var_os(name))?;
    secrets::check(&prepared.rendered, &secrets)?;
    match &prepared.choice {
        Choice::Cloud(_) => cloud::check(&options, &prepared, terminal)?,
        Choice::Local if options.no_watch => {
            return Err(Failure::usage(
                "the steps run in this very process, so that `--no-watch` has nothing to leave",
            )
            .hint("`--backend cloud --no-watch` submits the build and leaves"));
        }
        Choice::Local | Choice::Stranger(_) => {}
    }
    if options.dry_run {
        return dry_run(&prepared);
    }
    let request = request(&options, &prepared, secrets);
    drive::run(&options, &prepared, request, terminal)
}

/// Runs or watches in the cloud what is not in this repository: no source goes along.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_elsewhere(
    options: Options,
    choice: CloudChoice,
    rendered: Rendered,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let folders = Folders::find()?;
    let root = crate::project::find_root(None)?;
    let settings = Settings::load(&folders, root.as_deref(), options.settings.clone())?;
    let here = std::env::current_dir().map_err(|error| {
        Failure::caused(Exit::Usage, "the current folder cannot be used", error)
    })?;
    let prepared = Prepared {
        folders,
        settings,
        choice: Choice::Cloud(choice),
        rendered,
        root: root.unwrap_or(here),
    };
    let secrets = Secrets::default();
    secrets::check(&prepared.rendered, &secrets)?;
    let nothing = tempfile::tempdir().map_err(|error| {
        Failure::caused(Exit::Unavailable, "cannot make a temporary folder", error)
    })?;
    let mut request = request(&options, &prepared, secrets);
    request.repo_root = nothing.path().to_owned();
    drive::run(&options, &prepared, request, terminal)
}

/// Judges everything that can be judged without running anything.
///
/// # Errors
/// What is wrong with the command line, the configuration or the pipeline.
pub(crate) fn prepare(options: &Options, terminal: &Terminal) -> Result<Prepared, Failure> {
    let folders = Folders::find()?;
    let root = crate::project::find_root(options.dir.as_deref())?;
    let settings = Settings::load(&folders, root.as_deref(), options.settings.clone())?;
    let choice = Choice::find(&settings)?;
    let env = environment::read(&options.env_files, &options.env)?;
    let place = Place {
        dir: options.dir.as_deref(),
        file: options.file.as_deref(),
    };
    let found = place.read(terminal, options.verbose > 0)?;
    let mut rendered = found.choose(options.pipeline.as_deref(), terminal)?;
    if options.verbose > 0 {
        for place in &rendered.unknown_fields {
            terminal.note(&format!("unknown field {place}, passed over"));
        }
    }
    if matches!(choice, Choice::Local) {
        rendered
            .check_runners(
                &["vm"],
                "drop `runner`: the local backend runs every step in a machine",
            )
            .map_err(pipelines::failure)?;
    }
    rendered.plan.apply_env(&env);
    Ok(Prepared {
        folders,
        settings,
        choice,
        rendered,
        root: found.root,
    })
}

fn dry_run(prepared: &Prepared) -> Result<Exit, Failure> {
    let text = if prepared.settings.format() == "json" {
        prepared.rendered.plan.ir_json() + "\n"
    } else {
        let images = ImageMap::new(prepared.settings.images());
        dry::text(&prepared.rendered.plan, &images, prepared.choice.name())
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Success)
}

fn request(options: &Options, prepared: &Prepared, secrets: Secrets) -> RunRequest {
    let defaults = RunOptions::default();
    RunRequest {
        // Ids carry their time, so that records sort.
        run_id: Uuid::now_v7(),
        plan: prepared.rendered.plan.clone(),
        repo_root: prepared.root.clone(),
        // In the plan already.
        env: std::collections::BTreeMap::new(),
        // Asked for meanwhile, see `drive`.
        source: SourceMeta::default(),
        options: RunOptions {
            no_cache: options.no_cache,
            timeout: options.timeout,
            watch: !options.no_watch,
            keep_going: options.keep_going,
            parallelism: prepared.settings.jobs().unwrap_or(defaults.parallelism),
            ..defaults
        },
        settings: prepared.choice.settings(),
        secrets,
    }
}

//! `hm explain`: why steps were, or were not, taken from the cache.

mod changes;
mod now;
mod past;
mod tell;

use std::io::Write;
use std::path::PathBuf;

use hm_render::clean_line;

use super::Global;
use crate::failure::{Exit, Failure, nearest};
use crate::run::{self, Options, Prepared};
use crate::terminal::Terminal;
use changes::{Change, View, changes};
use past::Past;

/// Tell why steps hit or missed the cache in the last run, and what they would do now
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of the pipeline; the only one if there is but one
    pipeline: Option<String>,
    /// The step's key; all steps if not given
    step: Option<String>,
    /// Look in this folder instead of the current one
    #[arg(short, long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Set a variable for all steps, as `hm run -e` does
    #[arg(short, long, value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// Set the variables of a file, as `hm run --env-file` does
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// How to answer
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// One JSON object
    Json,
}

/// What there is to say about a step.
struct Explained {
    step: String,
    /// In the last run; none if there was none.
    last: Option<Answer>,
    /// If it ran now.
    now: Answer,
}

/// Whether the cache had it, and why.
struct Answer {
    outcome: Outcome,
    reason: String,
    changes: Vec<Change>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Hit,
    Miss,
    /// The cache is not asked.
    NotAsked,
}

impl Answer {
    fn new(outcome: Outcome, reason: &str) -> Self {
        Self {
            outcome,
            reason: reason.to_owned(),
            changes: Vec::new(),
        }
    }
}

/// Prints the explanation.
pub(crate) fn run(args: Args, global: &Global, terminal: &Terminal) -> Result<Exit, Failure> {
    let (prepared, step) = prepare(&args, global, terminal)?;
    let plan = &prepared.rendered.plan;
    if let Some(step) = &step
        && !plan.steps.iter().any(|planned| planned.key == *step)
    {
        let failure = Failure::usage(format!("the pipeline has no step `{}`", clean_line(step)));
        let keys = plan.steps.iter().map(|step| step.key.as_str());
        return Err(match nearest(step, keys) {
            Some(near) => failure.hint(format!("did you mean `{}`?", clean_line(near))),
            None => failure.hint("`hm graph` shows the steps"),
        });
    }
    let past = Past::read(&prepared)?;
    let (view, kept) = now::look(&prepared, terminal)?;
    let explained: Vec<_> = plan
        .steps
        .iter()
        .map(|planned| planned.key.as_str())
        .filter(|key| step.as_deref().is_none_or(|step| step == *key))
        .map(|key| Explained {
            step: key.to_owned(),
            last: past.last(key),
            now: now::answer(key, &view, &past, &kept),
        })
        .collect();
    let text = match args.format {
        Format::Human => tell::human(&plan.pipeline, &past, &explained),
        Format::Json => tell::json(&plan.pipeline, &past, &explained),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Success)
}

/// Reads the pipeline. A single word that names no pipeline is a step of the only one.
fn prepare(
    args: &Args,
    global: &Global,
    terminal: &Terminal,
) -> Result<(Prepared, Option<String>), Failure> {
    let with = |pipeline: Option<String>| {
        let options = Options {
            pipeline,
            dir: args.dir.clone(),
            env_files: args.env_file.clone(),
            // The key has a secret's name, not its value.
            env: args.env.clone(),
            dry_run: true,
            reports: Vec::new(),
            verbose: global.verbose,
            quiet: global.quiet,
            ..Options::default()
        };
        run::prepare(&options, terminal)
    };
    match (&args.pipeline, &args.step) {
        (Some(word), None) => match with(Some(word.clone())) {
            Ok(prepared) => Ok((prepared, None)),
            Err(failure) => match with(None) {
                Ok(prepared) => Ok((prepared, Some(word.clone()))),
                Err(_) => Err(failure),
            },
        },
        (pipeline, step) => Ok((with(pipeline.clone())?, step.clone())),
    }
}

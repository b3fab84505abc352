//! `hm cloud run`: submits a pipeline's document without a source tree.

use std::path::{Path, PathBuf};

use super::Context;
use crate::failure::{Exit, Failure};
use crate::pipelines::Place;
use crate::run::{self, CloudChoice};

/// Submit a document of `hm render` without any source
#[derive(clap::Args)]
pub(super) struct Args {
    /// Pipeline at the service; made if it is not there
    #[arg(value_name = "SLUG")]
    pipeline: String,
    /// Document; `-` is standard input
    #[arg(long, value_name = "FILE", default_value = "plan.json")]
    plan_file: PathBuf,
    /// Record this branch
    #[arg(short, long, value_name = "NAME", default_value = "main")]
    branch: String,
    /// Record this commit
    #[arg(short, long, value_name = "SHA")]
    commit: Option<String>,
    /// Record a message
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Leave as soon as the service has taken the build
    #[arg(long)]
    no_watch: bool,
}

/// Variables that are laid over every step's own.
const VARIABLES: &str = "HM_RUN_ENV_";

pub(super) fn run(args: Args, context: &Context<'_>) -> Result<Exit, Failure> {
    let place = Place {
        dir: None,
        file: Some(&args.plan_file),
    };
    if !Path::new(&args.plan_file).exists() && args.plan_file != Path::new("-") {
        return Err(
            Failure::usage(format!("there is no file `{}`", args.plan_file.display()))
                .hint("`hm render SLUG > plan.json` writes one"),
        );
    }
    let mut rendered = place
        .read(context.terminal, false)?
        .choose(None, context.terminal)?;
    let env = std::env::vars()
        .filter_map(|(name, value)| Some((name.strip_prefix(VARIABLES)?.to_owned(), value)));
    rendered.plan.apply_env(&env.collect());
    let choice = CloudChoice {
        pipeline: Some(args.pipeline),
        ..CloudChoice::default()
    };
    let options = run::Options {
        branch: Some(args.branch),
        commit: args.commit,
        message: args.message,
        ..context.run_options(args.no_watch)
    };
    run::run_elsewhere(options, choice, rendered, context.terminal)
}

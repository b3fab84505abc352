//! `hm cloud job`: jobs of a build, and what they printed.

mod log;

use hm_cloud_api::Job;

use super::build::Known;
use super::table::{fields, table};
use super::{Context, shown, time};
use crate::failure::{Exit, Failure, nearest};

/// List and show jobs, and print their logs
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    /// Pipeline, instead of the configured one
    #[arg(short, long, global = true, value_name = "SLUG")]
    pipeline: Option<String>,
    /// Number of the build; the newest without
    #[arg(short, long, global = true, value_name = "NUMBER")]
    build: Option<u64>,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the jobs of a build
    List,
    /// Show a job
    Show {
        /// Id or step key
        job: String,
    },
    /// Print what a job printed, until it ends
    Log {
        /// Id or step key
        job: String,
    },
}

pub(super) async fn run(args: &Args, context: &Context<'_>) -> Result<Exit, Failure> {
    let client = context.client()?;
    let pipeline = context.pipeline(args.pipeline.as_ref())?;
    let org = context.org(&client).await?;
    let known = Known::find(&client, org, pipeline, args.build).await?;
    match &args.command {
        Command::List => {
            let jobs = known.jobs().await?;
            context.answer(&jobs, || table(jobs.iter().map(row)))
        }
        Command::Show { job } => {
            let job = find(&known, job).await?;
            context.answer(&job, || described(&job))
        }
        Command::Log { job } => {
            let job = find(&known, job).await?;
            log::run(&known, &job.id, context).await
        }
    }
}

/// Finds a job by its id, or by its step's key.
async fn find(known: &Known<'_>, name: &str) -> Result<Job, Failure> {
    let mut jobs = known.jobs().await?;
    let found = jobs
        .iter()
        .position(|job| job.id.eq_ignore_ascii_case(name))
        .or_else(|| {
            jobs.iter()
                .position(|job| job.step_key.as_deref() == Some(name))
        });
    if let Some(found) = found {
        return Ok(jobs.swap_remove(found));
    }
    let failure = Failure::new(
        Exit::Code(5),
        format!("build #{} has no job `{}`", known.number, shown(name)),
    );
    let keys = jobs.iter().filter_map(|job| job.step_key.as_deref());
    Err(match nearest(name, keys) {
        Some(near) => failure.hint(format!("did you mean `{}`?", shown(near))),
        None => failure.hint(format!(
            "`hm cloud job list -p {} -b {}` shows all",
            shown(&known.pipeline),
            known.number
        )),
    })
}

/// Returns what people call a job.
fn name(job: &Job) -> &str {
    let name = job.name.as_deref().or(job.step_key.as_deref());
    name.unwrap_or(&job.id)
}

/// Returns a job as a row of a list.
pub(super) fn row(job: &Job) -> Vec<String> {
    vec![
        job.step_key.clone().unwrap_or_default(),
        job.state.to_string(),
        job.exit_code
            .map_or_else(String::new, |code| format!("exit {code}")),
        name(job).to_owned(),
        job.id.clone(),
    ]
}

fn described(job: &Job) -> String {
    fields([
        ("job", Some(name(job).to_owned())),
        ("id", Some(job.id.clone())),
        ("key", job.step_key.clone()),
        ("state", Some(job.state.to_string())),
        ("exit code", job.exit_code.map(|code| code.to_string())),
        (
            "error",
            job.error_message.clone().or_else(|| job.error_code.clone()),
        ),
        ("started", Some(time(job.started_at.as_ref()))),
        ("finished", Some(time(job.finished_at.as_ref()))),
        ("command", job.command.clone()),
    ])
}

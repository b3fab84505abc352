//! `hm cloud build`: builds of a pipeline.

mod cancel;
mod watch;

use hm_cloud_api::{Build, Job, JobList};
use serde_json::json;

use super::job;
use super::table::{fields, table};
use super::{Context, shown, time};
use crate::cloud::{Client, open_browser};
use crate::failure::{Exit, Failure};

/// List, show, watch, cancel and open builds
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    /// Pipeline, instead of the configured one
    #[arg(short, long, global = true, value_name = "SLUG")]
    pipeline: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List builds, newest first
    List {
        /// How many at the most
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Show a build and its jobs
    Show {
        /// Of the build; the newest without
        number: Option<u64>,
    },
    /// Watch a build as `hm run` shows its own; the exit code is its verdict
    Watch {
        /// Of the build; the newest without
        number: Option<u64>,
    },
    /// Cancel a build that has not ended
    Cancel {
        /// Of the build
        number: u64,
    },
    /// Open a build's page in the browser
    Open {
        /// Of the build; the newest without
        number: Option<u64>,
        /// Print the page's address and open nothing
        #[arg(long)]
        no_browser: bool,
    },
}

/// A build that exists, and the way to it.
pub(super) struct Known<'a> {
    pub(super) client: &'a Client,
    pub(super) org: String,
    pub(super) pipeline: String,
    pub(super) number: u64,
}

pub(super) fn run(args: &Args, context: &Context<'_>) -> Result<Exit, Failure> {
    if let Command::Watch { number } = args.command {
        let plan = super::block_on(async {
            let client = context.client()?;
            let pipeline = context.pipeline(args.pipeline.as_ref())?;
            let org = context.org(&client).await?;
            watch::plan(&Known::find(&client, org, pipeline, number).await?).await
        })?;
        return watch::show(plan, context);
    }
    super::block_on(answer(args, context))
}

async fn answer(args: &Args, context: &Context<'_>) -> Result<Exit, Failure> {
    let client = context.client()?;
    let pipeline = context.pipeline(args.pipeline.as_ref())?;
    let org = context.org(&client).await?;
    match &args.command {
        Command::List { limit } => {
            let builds = list(&client, &org, &pipeline, (*limit).max(1)).await?;
            context.answer(&builds, || table(builds.iter().map(row)))
        }
        Command::Show { number } => {
            let known = Known::find(&client, org, pipeline, *number).await?;
            let (build, jobs) = (known.build().await?, known.jobs().await?);
            let url = context
                .account
                .watch_url(&known.org, &known.pipeline, known.number);
            let data = json!({"build": build, "jobs": jobs, "watch_url": url});
            context.answer(&data, || described(&build, &jobs, &url))
        }
        // It has been done.
        Command::Watch { .. } => Ok(Exit::Success),
        Command::Cancel { number } => {
            let known = Known::find(&client, org, pipeline, Some(*number)).await?;
            cancel::run(&known, context).await
        }
        Command::Open { number, no_browser } => {
            let known = Known::find(&client, org, pipeline, *number).await?;
            // Asked for, so that no page of a build opens that is not there.
            known.build().await?;
            let url = context
                .account
                .watch_url(&known.org, &known.pipeline, known.number);
            let is_open = !no_browser && open_browser(&url);
            context.answer(&json!({"watch_url": url, "opened": is_open}), || {
                format!("{} {url}\n", if is_open { "opened" } else { "open" })
            })
        }
    }
}

async fn list(
    client: &Client,
    org: &str,
    pipeline: &str,
    most: usize,
) -> Result<Vec<Build>, Failure> {
    let version = client.version().await?;
    let path = version.organization(org, &["pipelines", pipeline, "builds"]);
    let builds = client.list(&path, most, |build: &Build| build.number.to_string());
    Ok(builds.await?)
}

impl<'a> Known<'a> {
    /// Finds a build by its number, or the newest.
    pub(super) async fn find(
        client: &'a Client,
        org: String,
        pipeline: String,
        number: Option<u64>,
    ) -> Result<Self, Failure> {
        let number = match number {
            Some(number) => number,
            None => {
                let newest = list(client, &org, &pipeline, 1).await?;
                let newest = newest.first().ok_or_else(|| {
                    Failure::new(
                        Exit::Code(5),
                        format!("the pipeline `{}` has no builds yet", shown(&pipeline)),
                    )
                })?;
                newest.number
            }
        };
        Ok(Self {
            client,
            org,
            pipeline,
            number,
        })
    }

    /// Returns the path of something below the build.
    pub(super) async fn path(&self, rest: &[&str]) -> Result<String, Failure> {
        let version = self.client.version().await?;
        Ok(version.build(&self.org, &self.pipeline, self.number, rest))
    }

    /// Reads the build.
    pub(super) async fn build(&self) -> Result<Build, Failure> {
        Ok(self.client.get(&self.path(&[]).await?).await?)
    }

    /// Reads its jobs.
    pub(super) async fn jobs(&self) -> Result<Vec<Job>, Failure> {
        let list: JobList = self.client.get(&self.path(&["jobs"]).await?).await?;
        Ok(list.data)
    }
}

fn row(build: &Build) -> Vec<String> {
    let commit = build.commit.as_deref().unwrap_or_default();
    vec![
        format!("#{}", build.number),
        build.state.to_string(),
        time(build.created_at.as_ref()),
        build.branch.clone().unwrap_or_default(),
        commit.chars().take(12).collect(),
        build.message.clone().unwrap_or_default(),
    ]
}

fn described(build: &Build, jobs: &[Job], url: &str) -> String {
    let error = match (&build.error_message, &build.error_code) {
        (Some(message), Some(code)) => Some(format!("{message} ({code})")),
        (message, code) => message.clone().or_else(|| code.clone()),
    };
    // The service does not tell when a build started.
    let started = jobs.iter().filter_map(|job| job.started_at.as_ref()).min();
    let mut text = fields([
        (
            "build",
            Some(format!("{} #{}", build.pipeline_slug, build.number)),
        ),
        ("state", Some(build.state.to_string())),
        ("branch", build.branch.clone()),
        ("commit", build.commit.clone()),
        ("message", build.message.clone()),
        ("created", Some(time(build.created_at.as_ref()))),
        ("started", Some(time(started))),
        ("finished", Some(time(build.finished_at.as_ref()))),
        ("error", error),
        ("page", Some(url.to_owned())),
    ]);
    if !jobs.is_empty() {
        text.push('\n');
        text += &table(jobs.iter().map(job::row));
    }
    text
}

//! `hm cloud pipeline`: what the organization builds.

use hm_cloud_api::Pipeline;

use super::table::{fields, table};
use super::{Context, time};
use crate::failure::{Exit, Failure};

/// List and show pipelines
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List all pipelines
    List,
    /// Show a pipeline
    Show {
        /// Of the pipeline
        slug: String,
    },
}

pub(super) async fn run(args: &Args, context: &Context<'_>) -> Result<Exit, Failure> {
    let client = context.client()?;
    let org = context.org(&client).await?;
    let version = client.version().await?;
    match &args.command {
        Command::List => {
            let path = version.organization(&org, &["pipelines"]);
            let key = |pipeline: &Pipeline| pipeline.slug.clone();
            let all = client.list(&path, usize::MAX, key).await?;
            context.answer(&all, || {
                table(all.iter().map(|pipeline| {
                    let from = pipeline.repo_name.as_ref().or(pipeline.repository.as_ref());
                    let from = from.cloned().unwrap_or_default();
                    vec![pipeline.slug.clone(), pipeline.name.clone(), from]
                }))
            })
        }
        Command::Show { slug } => {
            let path = version.organization(&org, &["pipelines", slug]);
            let pipeline: Pipeline = client.get(&path).await?;
            context.answer(&pipeline, || {
                fields([
                    ("slug", Some(pipeline.slug.clone())),
                    ("name", Some(pipeline.name.clone())),
                    ("repository", pipeline.repository.clone()),
                    ("repo", pipeline.repo_name.clone()),
                    ("description", pipeline.description.clone()),
                    ("branch", pipeline.default_branch.clone()),
                    ("visibility", pipeline.visibility.clone()),
                    (
                        "by hand",
                        Some(if pipeline.allow_manual { "yes" } else { "no" }.into()),
                    ),
                    ("created", Some(time(pipeline.created_at.as_ref()))),
                ])
            })
        }
    }
}

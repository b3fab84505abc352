//! `hm cloud org`: which organizations there are, and which one commands are about.

use hm_cloud_api::Organization;
use serde_json::json;

use super::table::table;
use super::{Context, shown};
use crate::config;
use crate::failure::{Exit, Failure, nearest};

/// List organizations and choose one
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List your organizations
    List,
    /// Choose the organization that commands are about, in your configuration
    Switch {
        /// Of the organization
        slug: String,
    },
}

pub(super) async fn run(args: &Args, context: &Context<'_>) -> Result<Exit, Failure> {
    let all = context.client()?.organizations().await?;
    match &args.command {
        Command::List => context.answer(&all, || {
            let chosen = context.account.org.as_deref();
            table(all.iter().map(|org| {
                let mark = if chosen == Some(&org.slug) { "*" } else { "" };
                vec![mark.to_owned(), org.slug.clone(), org.name.clone()]
            }))
        }),
        Command::Switch { slug } => switch(slug, &all, context),
    }
}

fn switch(slug: &str, all: &[Organization], context: &Context<'_>) -> Result<Exit, Failure> {
    let Some(org) = all.iter().find(|org| org.slug == slug) else {
        let failure = Failure::new(
            Exit::Code(5),
            format!("you are in no organization `{}`", shown(slug)),
        );
        let known = all.iter().map(|org| org.slug.as_str());
        return Err(match nearest(slug, known) {
            Some(near) => failure.hint(format!("did you mean `{}`?", shown(near))),
            None => failure.hint("`hm cloud org list` shows yours"),
        });
    };
    let file = context.folders.config_file();
    config::write(&file, &["cloud", "org"], slug)?;
    if let Some(over) = std::env::var_os("HM_ORG").filter(|over| !over.is_empty()) {
        context.terminal.warn(&format!(
            "HM_ORG is set to `{}`, and goes before it",
            shown(&over.to_string_lossy())
        ));
    }
    context.answer(&json!({"org": org.slug, "file": file}), || {
        format!(
            "commands are about {} ({}) from now on: see {}\n",
            shown(&org.slug),
            shown(&org.name),
            file.display()
        )
    })
}

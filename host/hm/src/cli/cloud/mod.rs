//! `hm cloud`: Harmont's cloud from the command line.

mod billing;
mod build;
mod job;
mod login;
mod logout;
mod org;
mod pipeline;
mod run;
mod table;
mod whoami;

use std::future::Future;
use std::io::Write;

use serde::Serialize;

use super::Global;
use crate::cloud::{Account, Client};
use crate::config::{Folders, Layer, Origin, Setting, Settings, Value};
use crate::failure::{Exit, Failure};
use crate::project;
use crate::run::Options;
use crate::terminal::Terminal;

/// Log in to Harmont's cloud, and look after what runs there
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    /// Organization, instead of the one that `hm cloud org switch` chose
    #[arg(long, global = true, value_name = "SLUG")]
    org: Option<String>,
    /// How to answer
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human")]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

/// How a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// JSON: an object, or an array of them
    Json,
}

#[derive(clap::Subcommand)]
enum Command {
    Login(login::Args),
    Logout(logout::Args),
    Whoami(whoami::Args),
    Org(org::Args),
    Pipeline(pipeline::Args),
    Run(run::Args),
    Build(build::Args),
    Job(job::Args),
    Billing(billing::Args),
}

/// What every command of this family works on.
struct Context<'a> {
    folders: Folders,
    account: Account,
    format: Format,
    terminal: &'a Terminal,
    global: &'a Global,
    settings: Layer,
}

/// Does what is asked.
pub(crate) fn run(args: Args, global: &Global, terminal: &Terminal) -> Result<Exit, Failure> {
    let folders = Folders::find()?;
    let root = project::find_root(None)?;
    let flags = flags(args.org);
    let settings = Settings::load(&folders, root.as_deref(), flags.clone())?;
    let context = Context {
        account: Account::find(&folders, &settings, terminal)?,
        folders,
        format: args.format,
        terminal,
        global,
        settings: flags,
    };
    match args.command {
        Command::Login(args) => block_on(login::run(&args, &context)),
        Command::Logout(_) => logout::run(&context),
        Command::Whoami(_) => block_on(whoami::run(&context)),
        Command::Org(args) => block_on(org::run(&args, &context)),
        Command::Pipeline(args) => block_on(pipeline::run(&args, &context)),
        Command::Run(args) => run::run(args, &context),
        Command::Build(args) => build::run(&args, &context),
        Command::Job(args) => block_on(job::run(&args, &context)),
        Command::Billing(args) => block_on(billing::run(&args, &context)),
    }
}

fn flags(org: Option<String>) -> Layer {
    let setting = org.map(|org| Setting {
        path: vec!["cloud".into(), "org".into()],
        value: Value::Text(org),
        origin: Origin::Flag("--org"),
    });
    Layer {
        settings: setting.into_iter().collect(),
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Exit::Unavailable, "cannot start threads", error))?;
    let done = runtime.block_on(work);
    // A name that is still being looked up is nobody's concern any more.
    runtime.shutdown_background();
    done
}

impl Context<'_> {
    fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.account)
    }

    /// Returns the organization: the one that was chosen, or the user's only one.
    async fn org(&self, client: &Client) -> Result<String, Failure> {
        self.account.organization(client).await
    }

    /// Returns the pipeline of a flag, or the configured one.
    fn pipeline(&self, flag: Option<&String>) -> Result<String, Failure> {
        flag.or(self.account.pipeline.as_ref())
            .cloned()
            .ok_or_else(|| {
                Failure::usage("no pipeline is named")
                    .hint("name one with `-p SLUG`; `hm cloud pipeline list` shows all")
            })
    }

    /// Returns how a build is shown that this command submits or watches.
    fn run_options(&self, no_watch: bool) -> Options {
        let mut settings = self.settings.clone();
        if self.format == Format::Json {
            settings.settings.push(Setting {
                path: vec!["format".into()],
                value: Value::Text("json".into()),
                origin: Origin::Flag("--format"),
            });
        }
        Options {
            no_watch,
            verbose: self.global.verbose,
            quiet: self.global.quiet,
            settings,
            ..Options::default()
        }
    }

    /// Answers, in the form that was asked for.
    fn answer<T: Serialize + ?Sized>(
        &self,
        data: &T,
        human: impl FnOnce() -> String,
    ) -> Result<Exit, Failure> {
        let text = match self.format {
            Format::Human => human(),
            Format::Json => json(data)?,
        };
        std::io::stdout().lock().write_all(text.as_bytes())?;
        Ok(Exit::Success)
    }
}

fn json<T: Serialize + ?Sized>(data: &T) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(data).map_err(|error| {
        Failure::caused(Exit::Code(5), "cannot put the answer into JSON", error)
    })?;
    Ok(text + "\n")
}

/// Returns a text of the service's as it may stand in a line of ours.
fn shown(text: &str) -> String {
    hm_render::clean_line(text).into_owned()
}

/// Returns a time of the service's without its fraction.
fn time(text: Option<&String>) -> String {
    let time = text.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    time.map_or_else(
        || text.map_or_else(String::new, |text| shown(text)),
        |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
    )
}

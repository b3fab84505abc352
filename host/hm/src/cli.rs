//! The command line: one file a command, each with its arguments and what it does.

mod backend;
mod cache;
mod cloud;
mod completions;
mod doctor;
mod explain;
mod flags;
mod graph;
mod image;
mod init;
mod logs;
mod man;
mod pipelines;
mod render;
mod run;
mod runs;
mod version;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

pub(crate) use flags::{Global, duration};

/// Run CI pipelines on your own machine: a graph of shell steps, each in a lightweight VM.
#[derive(Parser)]
#[command(
    name = "hm",
    version,
    disable_help_subcommand = true,
    max_term_width = 100
)]
#[command(
    after_help = "`hm COMMAND --help` tells more. Exit codes: 0 passed, 1 failed, 2 usage, \
    3 not logged in, 4 engine or network unavailable, 5 service error, 6 permission needed, 7 invalid pipeline, 8 backend broke, \
    124 timed out, 130 cancelled."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Subcommand)]
enum Command {
    Run(Box<run::Args>),
    Init(init::Args),
    Pipelines(pipelines::Args),
    Render(render::Args),
    Graph(graph::Args),
    Runs(runs::Args),
    Logs(logs::Args),
    Explain(explain::Args),
    Cache(cache::Args),
    Image(image::Args),
    Backend(backend::Args),
    Cloud(cloud::Args),
    /// The predecessor's name for `backend`
    #[command(hide = true)]
    Plugin(backend::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Version(version::Args),
    Man(man::Args),
}

/// Reads the command line, does what it says, and returns the exit code.
pub(crate) fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help that was asked for comes this way too; a reader that has gone is fine.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code()));
        }
    };
    let terminal = cli.global.terminal();
    let done = match cli.command {
        None => help(),
        Some(command) => dispatch(command, &cli.global, &terminal),
    };
    let exit = done.unwrap_or_else(|failure| {
        terminal.tell(&failure);
        failure.exit()
    });
    ExitCode::from(exit.code())
}

fn dispatch(command: Command, global: &Global, terminal: &Terminal) -> Result<Exit, Failure> {
    let verbose = global.verbose > 0;
    match command {
        Command::Run(args) => run::run(*args, global, terminal),
        Command::Init(args) => init::run(&args, terminal),
        Command::Pipelines(args) => pipelines::run(&args, verbose, terminal),
        Command::Render(args) => render::run(&args, verbose, terminal),
        Command::Graph(args) => graph::run(&args, verbose, terminal),
        Command::Runs(args) => runs::run(&args),
        Command::Logs(args) => logs::run(&args, terminal),
        Command::Explain(args) => explain::run(args, global, terminal),
        Command::Cache(args) => cache::run(&args, terminal),
        Command::Image(args) => image::run(&args, terminal),
        Command::Backend(args) | Command::Plugin(args) => backend::run(&args, terminal),
        Command::Cloud(args) => cloud::run(args, global, terminal),
        Command::Doctor(args) => doctor::run(&args, terminal),
        Command::Completions(args) => completions::run(&args),
        Command::Version(args) => version::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

fn help() -> Result<Exit, Failure> {
    let _ = Cli::command().print_long_help();
    Ok(Exit::Success)
}

//! The project's own commands, run as `cargo xtask COMMAND`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that talks to the person who called it"
)]

mod bench;
mod cargo;
mod demo;
mod fake_cloud;
mod skipped;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build everything in release and run a real pipeline.
    ///
    /// Leaves `hm` in target/release.
    Demo,
    /// Run all tests, with nextest where it is installed.
    Test {
        /// Fail where this machine cannot run a test, instead of naming it.
        #[arg(long, value_name = "WHAT")]
        require: Option<Require>,
        /// For the test runner: filters, options.
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Measure, each figure as a ratio to a baseline of the same run.
    Bench {
        /// Words in the names of the rows to measure; all rows without one.
        rows: Vec<String>,
    },
    /// Serve Harmont's cloud on loopback, to try `hm cloud` and `--backend cloud`.
    ///
    /// Organization `acme`; jobs run in machines of this computer. `-- --help` tells all.
    FakeCloud {
        /// `--port`, `--token`, `--image` and the rest.
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARGUMENTS"
        )]
        arguments: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Require {
    /// Every test.
    All,
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Command::Demo => demo::run(),
        Command::Test { require, arguments } => {
            test::run(require == Some(Require::All), &arguments)
        }
        Command::Bench { rows } => bench::run(&rows),
        Command::FakeCloud { arguments } => fake_cloud::run(&arguments),
    }
}

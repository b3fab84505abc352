//! The `hm` command: flags, configuration, consent and exit codes around the rooms of the
//! host, which never print, exit or read the environment themselves.

mod cli;
mod config;
mod consent;
mod failure;
mod project;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}

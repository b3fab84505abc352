//! The `hm` command: flags, configuration, consent and exit codes around the rooms of the
//! host, which never print, exit or read the environment themselves.

mod cli;
mod config;
mod consent;
mod failure;
mod pipelines;
mod project;
mod run;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The part of this program that starts machines: no threads, no parsing, nothing set up.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == "__sandbox")
    {
        return ExitCode::from(u8::try_from(hm_vm::sandbox::spawner_main()).unwrap_or(1));
    }
    cli::main()
}

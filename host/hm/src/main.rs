//! The `hm` command: flags, configuration, consent and exit codes around the rooms of the
//! host, which never print, exit or read the environment themselves.

mod cli;
mod cloud;
mod config;
mod consent;
mod credentials;
mod docker_login;
mod failure;
mod lock;
mod pipelines;
mod plain_file;
mod project;
mod run;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The parts of this program that start machines, and that read and compile components:
    // no threads, no parsing, nothing set up.
    if let Some(first) = std::env::args_os().nth(1) {
        let code = if first == "__sandbox" {
            Some(hm_vm::sandbox::spawner_main())
        } else {
            hm_exec::worker_main(&first)
        };
        if let Some(code) = code {
            return ExitCode::from(u8::try_from(code).unwrap_or(1));
        }
    }
    cli::main()
}

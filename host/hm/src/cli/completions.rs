//! `hm completions`: what a shell needs to complete `hm` commands.

use std::io::Write;

use clap::CommandFactory;

use crate::failure::{Exit, Failure};

/// Print completions for a shell
///
/// For bash: `hm completions bash > ~/.local/share/bash-completion/completions/hm`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "hm", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(Exit::Success)
}

//! `hm version`: the version, on standard output.

use std::io::Write;

use crate::failure::{Exit, Failure};

/// Print the version
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Prints name and version. Sets nothing up: it has to be quick.
pub(crate) fn run(_args: &Args) -> Result<Exit, Failure> {
    writeln!(std::io::stdout().lock(), "hm {}", env!("CARGO_PKG_VERSION"))?;
    Ok(Exit::Success)
}

//! `hm pipelines`: every pipeline of the repository, as the discovery envelope.

use std::io::Write;
use std::path::PathBuf;

use crate::failure::{Exit, Failure};
use crate::pipelines::Place;
use crate::project;
use crate::terminal::Terminal;

/// Print all pipelines of the repository as JSON
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Work in this folder instead of the current one
    #[arg(short, long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the envelope; an empty one where there is no `.hm/`.
pub(crate) fn run(args: &Args, verbose: bool, terminal: &Terminal) -> Result<Exit, Failure> {
    let dir = args.dir.as_deref();
    let mut envelope = if project::find_root(dir)?.is_none() {
        hm_pipeline::project::empty_envelope()
    } else {
        let found = Place { dir, file: None }.read(terminal, verbose)?;
        let (envelope, warnings) = found.catalog.envelope();
        for warning in warnings {
            terminal.warn(&warning.to_string());
        }
        envelope
    };
    if !envelope.ends_with('\n') {
        envelope.push('\n');
    }
    std::io::stdout().lock().write_all(envelope.as_bytes())?;
    Ok(Exit::Success)
}

//! `hm render`: one pipeline as the v0 document that it stands for.

use std::io::Write;
use std::path::PathBuf;

use crate::failure::{Exit, Failure};
use crate::pipelines::Place;
use crate::terminal::Terminal;

/// Print one pipeline as a v0 JSON document, without running it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of the pipeline; the only one if there is but one
    pipeline: Option<String>,
    /// Read this document instead of `.hm/`; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Work in this folder instead of the current one
    #[arg(short, long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the document.
pub(crate) fn run(args: &Args, verbose: bool, terminal: &Terminal) -> Result<Exit, Failure> {
    let place = Place {
        dir: args.dir.as_deref(),
        file: args.file.as_deref(),
    };
    let rendered = place
        .read(terminal, verbose)?
        .choose(args.pipeline.as_deref(), terminal)?;
    let mut document = rendered.definition;
    if !document.ends_with('\n') {
        document.push('\n');
    }
    std::io::stdout().lock().write_all(document.as_bytes())?;
    Ok(Exit::Success)
}

//! `hm graph`: the steps of a pipeline and what waits for what.

use std::io::Write;
use std::path::PathBuf;

use hm_pipeline::draw;

use crate::failure::{Exit, Failure};
use crate::pipelines::Place;
use crate::terminal::Terminal;

/// Show the steps of a pipeline, and what waits for what
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of the pipeline; the only one if there is but one
    pipeline: Option<String>,
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "tree")]
    format: Format,
    /// Read this document instead of `.hm/`; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Work in this folder instead of the current one
    #[arg(short, long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// A way to show a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// An indented tree
    Tree,
    /// Graphviz: `hm graph --format dot | dot -Tsvg`
    Dot,
}

/// Prints the graph.
pub(crate) fn run(args: &Args, verbose: bool, terminal: &Terminal) -> Result<Exit, Failure> {
    let place = Place {
        dir: args.dir.as_deref(),
        file: args.file.as_deref(),
    };
    let rendered = place
        .read(terminal, verbose)?
        .choose(args.pipeline.as_deref(), terminal)?;
    let text = match args.format {
        Format::Tree => draw::tree(&rendered.plan, terminal.columns()),
        Format::Dot => draw::dot(&rendered.plan),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Success)
}

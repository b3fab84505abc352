//! `.hm/*.py`: pipelines in the `harmont` DSL, rendered by the user's Python.
//!
//! One process loads all files and renders each pipeline by itself, so that a file
//! that raises is a fault of that file and of no other.

mod answer;
mod child;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::PipelineError;
use crate::ir;
use crate::pipeline::Pipeline;
use crate::problem::Problem;
use crate::source::{Place, Source};

use answer::Answer;
use child::Ended;

/// The version of the DSL that this hm was made for.
const DSL: &str = "harmont==0.0.9";

/// Longest time that pipeline files may take to load and render.
pub const RENDER_TIMEOUT: Duration = Duration::from_secs(60);

/// How to run Python, and what the result depends on.
#[derive(Debug, Clone)]
pub struct Python {
    /// The executable; a bare name is looked up on the `PATH` of `env`.
    pub executable: PathBuf,
    /// The whole environment of the process. Cache keys with `env_keys` depend on it.
    pub env: Vec<(OsString, OsString)>,
    /// Longest time for all files together; [`RENDER_TIMEOUT`] unless said otherwise.
    pub timeout: Duration,
}

/// One `.py` file after it was loaded.
#[derive(Debug, Clone)]
pub struct RenderedFile {
    /// The file as the user knows it.
    pub file: String,
    /// Why it did not load to its end.
    pub fault: Option<Problem>,
    /// In the order in which they were registered. A fault of the file leaves those
    /// that were registered before it.
    pub pipelines: Vec<RenderedPipeline>,
}

/// One registered pipeline.
#[derive(Debug, Clone)]
pub struct RenderedPipeline {
    /// The name that `hm run` takes.
    pub slug: String,
    /// The pipeline, or why it did not render.
    pub result: Result<Pipeline, Problem>,
}

/// Everything that the files gave.
#[derive(Debug, Clone)]
pub struct RenderedFiles {
    /// In the order of the request.
    pub files: Vec<RenderedFile>,
    /// What the files printed, at most 64 KiB of it.
    pub printed: String,
}

/// A file to render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonFile {
    /// The file as the user knows it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// A request to render `files`.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    /// Current directory of the process; watched paths are relative to it.
    pub root: &'r Path,
    /// In the order in which they are loaded.
    pub files: &'r [PythonFile],
    /// Slug of the organization, which goes into cache keys.
    pub org: &'r str,
    /// Now, in Unix seconds.
    pub now: u64,
    /// Image of root steps without one; the DSL itself leaves none.
    pub default_image: &'r str,
}

impl Python {
    /// Loads and renders the files. Blocks until the process has ended, which it does
    /// at the latest when the calling process does.
    ///
    /// # Errors
    /// `Unavailable` without Python or without the DSL, `Invalid` if the process ended
    /// without an answer or ran over the timeout.
    pub fn render(&self, request: &Request<'_>) -> Result<RenderedFiles, PipelineError> {
        let ended = child::run(self, request)?;
        let printed = String::from_utf8_lossy(&ended.stderr).into_owned();
        let answer: Answer = match serde_json::from_slice(&ended.stdout) {
            Ok(answer) if !ended.timed_out => answer,
            _ => return Err(self.no_answer(request, &ended, &printed)),
        };
        let told = match answer {
            Answer::Files { files } => files,
            Answer::Missing { missing, version } => {
                return Err(self.no_dsl(&format!("has no module `{missing}`"), &version));
            }
            Answer::Unusable { unusable, version } => {
                return Err(self.no_dsl(&format!("cannot import the DSL: {unusable}"), &version));
            }
        };
        let named = request.files.iter().zip(told);
        let files = named
            .map(|(asked, file)| file.read(asked, request))
            .collect();
        Ok(RenderedFiles { files, printed })
    }

    fn no_dsl(&self, fault: &str, version: &str) -> PipelineError {
        let python = self.executable.display();
        PipelineError::unavailable(
            format!("{python} (Python {version}) {fault}"),
            format!(
                "`{python} -m pip install {DSL}` (Python 3.11 or newer), \
                 or write the pipeline as `.hm/NAME.toml`"
            ),
        )
    }

    fn no_answer(&self, request: &Request<'_>, ended: &Ended, printed: &str) -> PipelineError {
        let what = if ended.timed_out {
            format!(
                "loading took over {} s and was stopped",
                self.timeout.as_secs()
            )
        } else {
            format!("Python ended without a pipeline: {}", ended.status)
        };
        let mut message = what;
        let last: Vec<&str> = printed.lines().rev().take(10).collect();
        for line in last.into_iter().rev() {
            message.push('\n');
            message.push_str(&crate::text::plain(line));
        }
        let file = match request.files {
            [file] => file.name.clone(),
            _ => ".hm/*.py".to_owned(),
        };
        PipelineError::invalid(file, None, vec![Problem::new(message)])
    }
}

/// Checks one rendered pipeline: an envelope that holds it alone.
fn check(name: &str, envelope: String, default_image: &str) -> Result<Pipeline, Problem> {
    let source = Source::generated(name, envelope);
    let unreadable = |problem: String| {
        let message = format!("the DSL made a document that this hm cannot read: {problem}");
        Problem::at(source.field(""), message).hint(format!("install `{DSL}`"))
    };
    let document = ir::parse(&source, "", default_image).map_err(|error| {
        let first = error.problems().first().map(ToString::to_string);
        unreadable(first.unwrap_or_else(|| error.to_string()))
    })?;
    let mut pipeline = document
        .pipelines
        .into_iter()
        .next()
        .ok_or_else(|| unreadable("it has no pipeline".to_owned()))?;
    // The envelope around it is ours and says nothing to the author.
    match &mut pipeline.checked {
        Ok(checked) => {
            let warnings = checked.warnings.iter_mut().filter_map(|w| w.place.as_mut());
            let references = checked.references.iter_mut().map(|r| &mut r.place);
            warnings
                .chain(&mut checked.unknown_fields)
                .chain(references)
                .for_each(shorten);
        }
        Err(problems) => problems
            .iter_mut()
            .filter_map(|p| p.place.as_mut())
            .for_each(shorten),
    }
    Ok(pipeline)
}

fn shorten(place: &mut Place) {
    if let Some(field) = place.field.strip_prefix("pipelines[0].definition.") {
        place.field = field.to_owned();
    }
}

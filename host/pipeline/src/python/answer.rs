//! What the rendering script says.

use std::path::Path;

use serde::Deserialize;

use super::{PythonFile, RenderedFile, RenderedPipeline, Request, check};
use crate::problem::Problem;
use crate::source::{Place, Position};
use crate::text::plain;

/// Most lines of a traceback that a problem shows.
const MOST_FRAMES: usize = 8;

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Files {
        files: Vec<File>,
    },
    /// The DSL, or something that it needs, is not installed.
    Missing {
        missing: String,
        version: String,
    },
    /// The DSL is installed and does not load.
    Unusable {
        unusable: String,
        version: String,
    },
}

#[derive(Debug, Deserialize)]
pub(super) struct File {
    fault: Option<Fault>,
    pipelines: Vec<Rendered>,
}

#[derive(Debug, Deserialize)]
struct Rendered {
    slug: String,
    fault: Option<Fault>,
    envelope: Option<String>,
}

/// A Python exception.
#[derive(Debug, Deserialize)]
struct Fault {
    kind: String,
    message: String,
    frames: Vec<Frame>,
}

#[derive(Debug, Deserialize)]
struct Frame {
    file: String,
    line: Option<usize>,
    name: Option<String>,
    text: Option<String>,
}

impl File {
    /// Checks the pipelines of the file that was asked for.
    pub(super) fn read(self, asked: &PythonFile, request: &Request<'_>) -> RenderedFile {
        let pipelines = self.pipelines.into_iter().map(|rendered| {
            let result = match (rendered.envelope, rendered.fault) {
                (Some(envelope), None) => check(&asked.name, envelope, request.default_image),
                (_, Some(fault)) => {
                    let pipeline = crate::text::name(&rendered.slug);
                    Err(fault.problem(asked, request, &format!("pipeline {pipeline} raised ")))
                }
                (None, None) => Err(Problem::new("the DSL gave no document")),
            };
            RenderedPipeline {
                slug: rendered.slug,
                result,
            }
        });
        RenderedFile {
            file: asked.name.clone(),
            pipelines: pipelines.collect(),
            fault: self.fault.map(|fault| fault.problem(asked, request, "")),
        }
    }
}

impl Fault {
    /// Returns the fault at the deepest place that is the user's own file.
    fn problem(&self, asked: &PythonFile, request: &Request<'_>, prefix: &str) -> Problem {
        let path = request.root.join(&asked.path);
        let is_own = |frame: &Frame| Path::new(&frame.file) == path;
        let shown = |frame: &Frame| match Path::new(&frame.file).strip_prefix(request.root) {
            _ if is_own(frame) => asked.name.clone(),
            Ok(inside) => inside.display().to_string(),
            Err(_) => frame.file.clone(),
        };
        let own = self.frames.iter().rposition(is_own);
        let place = Place {
            field: String::new(),
            file: asked.name.clone(),
            position: own
                .and_then(|own| self.frames[own].line)
                .map(|line| Position { line, column: 1 }),
        };
        let mut message = format!("{prefix}{}", plain(&self.kind));
        let mut lines = self.message.lines();
        if let Some(first) = lines.next() {
            message.push_str(&format!(": {}", plain(first)));
        }
        lines.for_each(|line| message.push_str(&format!("\n{}", plain(line))));
        let skipped = self.frames.len().saturating_sub(MOST_FRAMES);
        for frame in &self.frames[skipped..] {
            let line = frame
                .line
                .map(|line| format!(":{line}"))
                .unwrap_or_default();
            message.push_str(&format!("\nat {}{line}", plain(&shown(frame))));
            if let Some(function) = frame.name.as_deref().filter(|name| *name != "<module>") {
                message.push_str(&format!(" in {}", plain(function)));
            }
            if let Some(text) = frame.text.as_deref().filter(|text| !text.is_empty()) {
                message.push_str(&format!(": {}", plain(text)));
            }
        }
        Problem::at(place, message)
    }
}

//! Every pipeline that there is to choose from.

use std::path::{Path, PathBuf};

use super::Inputs;
use super::discover::{Found, type_script};
use super::kind::Kind;
use crate::cache_key::KeyInputs;
use crate::error::PipelineError;
use crate::pipeline::Pipeline;
use crate::problem::Problem;
use crate::python::{PythonFile, Request};
use crate::source::Source;
use crate::text::plain;
use crate::{ir, toml};

/// Every pipeline that there is to choose from.
#[derive(Debug)]
pub struct Catalog {
    root: PathBuf,
    /// What is being looked through, as a message names it.
    pub(super) place: String,
    org: String,
    now: u64,
    default_image: String,
    pub(super) entries: Vec<Entry>,
    pub(super) broken: Vec<Broken>,
    pub(super) warnings: Vec<Problem>,
    printed: String,
}

/// A pipeline as a list shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'c> {
    /// The name that `hm run` takes.
    pub slug: &'c str,
    /// The file as the user knows it.
    pub file: &'c str,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) slug: String,
    pub(super) file: String,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    /// Read when it is chosen: its cache keys may take many files to compute.
    Toml(Source),
    Ready(Box<Pipeline>),
    /// Registered, but it raised.
    Raised(Problem),
}

/// A file of which the pipelines are not, or not all, known.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) stem: String,
    pub(super) file: String,
    pub(super) error: PipelineError,
}

impl Catalog {
    pub(super) fn new(root: PathBuf, place: impl Into<String>, inputs: &Inputs) -> Self {
        Self {
            root,
            place: place.into(),
            org: inputs.org.clone(),
            now: inputs.now,
            default_image: inputs.default_image.clone(),
            entries: Vec::new(),
            broken: Vec::new(),
            warnings: Vec::new(),
            printed: String::new(),
        }
    }

    /// Reads the single document `path`; its kind is told by the extension, else by the
    /// content. `root` is the project folder.
    ///
    /// # Errors
    /// `Usage` if the file cannot be read, `Invalid` if it is broken, `Unavailable` if
    /// it is Python and cannot be rendered.
    pub fn of_file(path: &Path, root: &Path, inputs: &Inputs) -> Result<Self, PipelineError> {
        let shown = path.display().to_string();
        let absolute = std::path::absolute(path)
            .map_err(|error| PipelineError::io(format!("cannot use {}", plain(&shown)), error))?;
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut catalog = Self::new(root.to_owned(), plain(&shown), inputs);
        let kind = match Kind::of_path(path) {
            Some(kind) => kind,
            None => Kind::of_text(Source::read(path, shown.as_str())?.text()),
        };
        match kind {
            Kind::Python if !path.is_file() => {
                return Err(PipelineError::usage(format!(
                    "there is no file {}",
                    plain(&shown)
                )));
            }
            Kind::Python => {
                let found = Found {
                    kind,
                    path: absolute,
                    name: shown,
                    stem,
                };
                catalog.add_python_files(&[&found], inputs);
            }
            Kind::TypeScript => return Err(type_script(&shown)),
            Kind::Toml => catalog.add_toml(Source::read(path, shown)?, stem),
            Kind::Json => catalog.add_json(Source::read(path, shown)?, &stem),
        }
        catalog.judged()
    }

    /// Reads a document that was given on standard input. The slug of a bare one is
    /// `default`.
    ///
    /// # Errors
    /// `Invalid` if it is broken, `Usage` if it is Python.
    pub fn of_stdin(text: Vec<u8>, root: &Path, inputs: &Inputs) -> Result<Self, PipelineError> {
        let source = Source::from_bytes("<stdin>", text)?;
        let mut catalog = Self::new(root.to_owned(), "standard input", inputs);
        match Kind::of_text(source.text()) {
            Kind::Json => catalog.add_json(source, "default"),
            Kind::Toml => catalog.add_toml(source, "default".to_owned()),
            Kind::Python | Kind::TypeScript => {
                return Err(PipelineError::usage_with(
                    "a Python pipeline cannot be read from standard input",
                    "save it to a file: `hm run --file FILE.py`",
                ));
            }
        }
        catalog.judged()
    }

    /// With a single document there is no other file to fall back on.
    fn judged(mut self) -> Result<Self, PipelineError> {
        match self.broken.pop() {
            Some(broken) => Err(broken.error),
            None => Ok(self),
        }
    }

    pub(super) fn add_toml_file(&mut self, file: &Found) {
        match Source::read(&file.path, file.name.as_str()) {
            Ok(source) => self.add_toml(source, file.stem.clone()),
            Err(error) => self.add_broken(file, error),
        }
    }

    pub(super) fn add_json_file(&mut self, file: &Found) {
        match Source::read(&file.path, file.name.as_str()) {
            Ok(source) => self.add_json(source, &file.stem),
            Err(error) => self.add_broken(file, error),
        }
    }

    fn add_broken(&mut self, file: &Found, error: PipelineError) {
        self.broken.push(Broken {
            stem: file.stem.clone(),
            file: file.name.clone(),
            error,
        });
    }

    fn add_toml(&mut self, source: Source, slug: String) {
        let file = source.name().to_owned();
        self.entries.push(Entry {
            slug,
            file,
            body: Body::Toml(source),
        });
    }

    fn add_json(&mut self, source: Source, stem: &str) {
        let file = source.name().to_owned();
        match ir::parse(&source, stem, &self.default_image) {
            Ok(document) => self
                .entries
                .extend(document.pipelines.into_iter().map(|pipeline| {
                    let slug = pipeline.slug.clone();
                    Entry {
                        slug,
                        file: file.clone(),
                        body: Body::Ready(Box::new(pipeline)),
                    }
                })),
            Err(error) => self.broken.push(Broken {
                stem: stem.to_owned(),
                file,
                error,
            }),
        }
    }

    pub(super) fn add_python_files(&mut self, files: &[&Found], inputs: &Inputs) {
        if files.is_empty() {
            return;
        }
        let asked = files.iter().map(|f| PythonFile {
            name: f.name.clone(),
            path: f.path.clone(),
        });
        let asked: Vec<PythonFile> = asked.collect();
        let request = Request {
            root: &self.root,
            files: &asked,
            org: &inputs.org,
            now: inputs.now,
            default_image: &inputs.default_image,
        };
        let rendered = match inputs.python.render(&request) {
            Ok(rendered) => rendered,
            Err(error) => {
                let file = if let [file] = files {
                    file.name.clone()
                } else {
                    ".hm/*.py".into()
                };
                self.broken.push(Broken {
                    stem: String::new(),
                    file,
                    error,
                });
                return;
            }
        };
        self.printed = rendered.printed;
        for (found, file) in files.iter().zip(rendered.files) {
            for pipeline in file.pipelines {
                let body = match pipeline.result {
                    Ok(ready) => Body::Ready(Box::new(ready)),
                    Err(problem) => Body::Raised(problem),
                };
                self.entries.push(Entry {
                    slug: pipeline.slug,
                    file: file.file.clone(),
                    body,
                });
            }
            if let Some(fault) = file.fault {
                let error = PipelineError::invalid(&file.file, None, vec![fault]);
                self.add_broken(found, error);
            }
        }
    }

    /// Returns every pipeline that is known, file by file.
    pub fn pipelines(&self) -> impl Iterator<Item = Listed<'_>> {
        self.entries.iter().map(|entry| Listed {
            slug: &entry.slug,
            file: &entry.file,
        })
    }

    /// Returns what pipeline files printed while they were loaded.
    pub fn printed(&self) -> &str {
        &self.printed
    }

    /// Returns the pipeline of an entry, checked.
    pub(super) fn read(&self, entry: &Entry) -> Result<Pipeline, PipelineError> {
        match &entry.body {
            Body::Ready(pipeline) => Ok((**pipeline).clone()),
            Body::Toml(source) => {
                let keys = KeyInputs {
                    org: &self.org,
                    now: self.now,
                    root: &self.root,
                };
                Ok(toml::parse(source, &entry.slug, &self.default_image, &keys))
            }
            Body::Raised(problem) => {
                let problems = vec![problem.clone()];
                Err(PipelineError::invalid(
                    &entry.file,
                    Some(&entry.slug),
                    problems,
                ))
            }
        }
    }
}

//! Every pipeline that there is to choose from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::discover::{Found, type_script};
use super::kind::Kind;
use super::{Inputs, Rendered};
use crate::cache_key::KeyInputs;
use crate::error::PipelineError;
use crate::pipeline::Pipeline;
use crate::problem::Problem;
use crate::python::{PythonFile, Request};
use crate::source::Source;
use crate::text::{name, nearest, plain, quote};
use crate::{ir, toml};

/// Every pipeline that there is to choose from.
#[derive(Debug)]
pub struct Catalog {
    root: PathBuf,
    /// What is being looked through, as a message names it.
    place: String,
    org: String,
    now: u64,
    default_image: String,
    entries: Vec<Entry>,
    broken: Vec<Broken>,
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
struct Entry {
    slug: String,
    file: String,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Read when it is chosen: its cache keys may take many files to compute.
    Toml(Source),
    Ready(Box<Pipeline>),
    /// Registered, but it raised.
    Raised(Problem),
}

/// A file of which the pipelines are not, or not all, known.
#[derive(Debug)]
struct Broken {
    stem: String,
    file: String,
    error: PipelineError,
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
        let source = Source::read(path, shown.clone())?;
        let kind = Kind::of_path(path).unwrap_or_else(|| Kind::of_text(source.text()));
        let mut catalog = Self::new(root.to_owned(), plain(&shown), inputs);
        match kind {
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
            Kind::Toml => catalog.add_toml(source, stem),
            Kind::Json => catalog.add_json(source, &stem),
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

    /// Returns the pipeline `slug`, or the only one.
    ///
    /// # Errors
    /// `Usage` if there is no such pipeline or no telling which is meant, `Invalid` if
    /// it or its file is broken or its slug is another file's too, `Unavailable` if it
    /// may be one that Python should have rendered.
    pub fn choose(&self, slug: Option<&str>) -> Result<Rendered, PipelineError> {
        let slug = match slug {
            Some(slug) => slug,
            None => self.only_slug()?,
        };
        let matching: Vec<&Entry> = self.entries.iter().filter(|e| e.slug == slug).collect();
        let entry = match matching.as_slice() {
            [] => return Err(self.unknown(slug)),
            [entry] => *entry,
            several => return Err(twice(slug, several)),
        };
        // The pipelines of a file that raised are not to be trusted: the rest may be
        // missing.
        if let Some(broken) = self.broken.iter().find(|broken| broken.file == entry.file) {
            return Err(copy(&broken.error));
        }
        let pipeline = self.read(entry)?;
        let checked = pipeline
            .checked
            .map_err(|problems| PipelineError::invalid(&entry.file, Some(&entry.slug), problems))?;
        let mut warnings = checked.warnings;
        warnings.extend(self.warnings(Some(entry)));
        Ok(Rendered {
            plan: checked.plan,
            slug: pipeline.slug,
            name: pipeline.name,
            file: entry.file.clone(),
            warnings,
            unknown_fields: checked.unknown_fields,
            references: checked.references,
            definition: pipeline.definition,
        })
    }

    /// Returns the envelope of all pipelines that are in order, and a warning for each
    /// that is not.
    pub fn envelope(&self) -> (String, Vec<Problem>) {
        let mut warnings = self.warnings(None);
        let mut entries = Vec::new();
        for entry in &self.entries {
            let pipeline = self
                .read(entry)
                .and_then(|pipeline| match pipeline.checked {
                    Ok(_) => Ok(pipeline.entry),
                    Err(problems) => Err(PipelineError::invalid(
                        &entry.file,
                        Some(&entry.slug),
                        problems,
                    )),
                });
            match pipeline {
                Ok(text) => entries.push(text),
                // Already among the general warnings.
                Err(_) if matches!(entry.body, Body::Raised(_)) => {}
                Err(error) => warnings.push(left_out(&entry.file, &error)),
            }
        }
        (ir::envelope(entries.iter().map(String::as_str)), warnings)
    }

    fn read(&self, entry: &Entry) -> Result<Pipeline, PipelineError> {
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

    fn slugs(&self) -> Vec<&str> {
        let mut slugs: Vec<&str> = self
            .entries
            .iter()
            .map(|entry| entry.slug.as_str())
            .collect();
        slugs.sort_unstable();
        slugs.dedup();
        slugs
    }

    fn only_slug(&self) -> Result<&str, PipelineError> {
        let slugs = self.slugs();
        match slugs.as_slice() {
            [slug] => Ok(slug),
            [] => Err(self
                .first_fault(&self.broken.iter().collect::<Vec<_>>())
                .unwrap_or_else(|| {
                    PipelineError::usage_with(
                        format!("there is no pipeline in {}", self.place),
                        "`hm init` writes a first one",
                    )
                })),
            several => Err(PipelineError::usage_with(
                format!("{} has several pipelines: {}", self.place, listed(several)),
                format!("name one, as in `hm run {}`", name(several[0])),
            )),
        }
    }

    /// Returns why there is no pipeline `slug`: a broken file may have been its place.
    fn unknown(&self, slug: &str) -> PipelineError {
        let own: Vec<&Broken> = self.broken.iter().filter(|b| b.stem == slug).collect();
        let all: Vec<&Broken> = self.broken.iter().collect();
        if let Some(error) = self.first_fault(if own.is_empty() { &all } else { &own }) {
            return error;
        }
        let slugs = self.slugs();
        let message = format!("there is no pipeline {} in {}", quote(slug), self.place);
        let hint = match nearest(slug, slugs.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? There are: {}", listed(&slugs)),
            None if slugs.is_empty() => "`hm init` writes a first one".to_owned(),
            None => format!("there are: {}", listed(&slugs)),
        };
        PipelineError::usage_with(message, hint)
    }

    /// Returns the fault of broken files as one error.
    fn first_fault(&self, broken: &[&Broken]) -> Option<PipelineError> {
        let problems: Vec<Problem> = broken
            .iter()
            .flat_map(|broken| broken.error.problems())
            .cloned()
            .collect();
        match broken {
            [] => None,
            [one] => Some(copy(&one.error)),
            [first, ..] if problems.is_empty() => Some(copy(&first.error)),
            _ => {
                let files: Vec<&str> = broken.iter().map(|broken| broken.file.as_str()).collect();
                Some(PipelineError::invalid(files.join(", "), None, problems))
            }
        }
    }

    /// Returns what there is to say about everything but `chosen`.
    fn warnings(&self, chosen: Option<&Entry>) -> Vec<Problem> {
        let mut warnings = self.warnings.clone();
        warnings.extend(
            self.broken
                .iter()
                .map(|broken| left_out(&broken.file, &broken.error)),
        );
        let mut files: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in &self.entries {
            files.entry(&entry.slug).or_default().push(entry);
            if let (Body::Raised(problem), false) = (
                &entry.body,
                chosen.is_some_and(|chosen| std::ptr::eq(chosen, entry)),
            ) {
                let message = problem.message.lines().next().unwrap_or_default();
                warnings.push(Problem {
                    message: message.to_owned(),
                    ..problem.clone()
                });
            }
        }
        for (slug, entries) in files {
            if entries.len() > 1 {
                warnings.push(left_out(&entries[0].file, &twice(slug, &entries)));
            }
        }
        warnings
    }
}

fn listed(slugs: &[&str]) -> String {
    slugs
        .iter()
        .map(|slug| name(slug))
        .collect::<Vec<_>>()
        .join(", ")
}

fn twice(slug: &str, entries: &[&Entry]) -> PipelineError {
    let files: Vec<String> = entries.iter().map(|entry| plain(&entry.file)).collect();
    let message = format!(
        "the slug {} is used by {}",
        quote(slug),
        files.join(" and ")
    );
    let problem = Problem::new(message).hint("rename one of the pipelines");
    PipelineError::invalid(files.join(", "), Some(slug), vec![problem])
}

fn left_out(file: &str, error: &PipelineError) -> Problem {
    let told = match error.problems() {
        [first, rest @ ..] => {
            let told = first.to_string();
            let told = told.lines().next().unwrap_or_default().to_owned();
            match rest.len() {
                0 => told,
                more => format!("{told}, and {more} more"),
            }
        }
        [] => error
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    };
    Problem::new(format!("{} was left out: {told}", plain(file)))
}

/// Returns the error once more; a system error's cause stays as its text.
fn copy(error: &PipelineError) -> PipelineError {
    let again = |source: &Option<std::io::Error>| {
        source
            .as_ref()
            .map(|error| std::io::Error::new(error.kind(), error.to_string()))
    };
    match error {
        PipelineError::Usage {
            message,
            hint,
            source,
        } => PipelineError::Usage {
            message: message.clone(),
            hint: hint.clone(),
            source: again(source),
        },
        PipelineError::Unavailable {
            message,
            hint,
            source,
        } => PipelineError::Unavailable {
            message: message.clone(),
            hint: hint.clone(),
            source: again(source),
        },
        PipelineError::Invalid(invalid) => PipelineError::Invalid(invalid.clone()),
    }
}

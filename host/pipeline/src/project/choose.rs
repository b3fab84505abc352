//! Which pipeline is meant, and what to say where there is no telling.

use std::collections::BTreeMap;

use super::Rendered;
use super::catalog::{Body, Broken, Catalog, Entry};
use crate::error::PipelineError;
use crate::ir;
use crate::problem::Problem;
use crate::text::{name, nearest, plain, quote};

impl Catalog {
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

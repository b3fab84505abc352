//! Where pipelines are.

use std::fs;
use std::path::{Path, PathBuf};

use super::kind::Kind;
use super::{Catalog, Inputs};
use crate::error::PipelineError;
use crate::problem::Problem;
use crate::text::plain;

/// The folder that makes a folder a project.
const FOLDER: &str = ".hm";

/// hm's own configuration, which is no pipeline.
const CONFIGURATION: &str = "config.toml";

/// Files of JavaScript tools, which lie beside `.ts` pipelines.
const TOOL_FILES: [&str; 4] = [
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "jsconfig.json",
];

/// A folder that holds `.hm/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    root: PathBuf,
}

/// A file of `.hm/`.
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
    /// `.hm/NAME`, as the user knows it.
    pub(super) name: String,
    pub(super) stem: String,
}

impl Project {
    /// Finds the project that `start` is in, searching upwards.
    ///
    /// # Errors
    /// `Usage` if no folder from `start` upwards holds `.hm/`.
    pub fn find(start: &Path) -> Result<Self, PipelineError> {
        let cannot =
            |error| PipelineError::io(format!("cannot use the folder {}", start.display()), error);
        // Upwards from where the folder really is, as the shell's `cd ..` would not go.
        let start = start.canonicalize().map_err(cannot)?;
        match start
            .ancestors()
            .find(|folder| folder.join(FOLDER).is_dir())
        {
            Some(root) => Ok(Self {
                root: root.to_owned(),
            }),
            None => Err(PipelineError::usage_with(
                format!(
                    "there is no `.hm/` folder in {} or above it",
                    plain(&start.display().to_string())
                ),
                "`hm init` writes a first pipeline; `hm run --file FILE` runs a single document",
            )),
        }
    }

    /// Returns the folder that holds `.hm/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads every pipeline file. Files that are broken are remembered, and are an
    /// error only where the choice falls on them.
    ///
    /// # Errors
    /// `Usage` if `.hm/` cannot be read or holds only `.ts` pipelines.
    pub fn catalog(&self, inputs: &Inputs) -> Result<Catalog, PipelineError> {
        let (found, warnings) = self.files()?;
        let of_kind = |kind| found.iter().filter(move |file| file.kind == kind);
        if of_kind(Kind::TypeScript).count() == found.len() && !found.is_empty() {
            return Err(type_script(&found[0].name));
        }
        let mut catalog = Catalog::new(self.root.clone(), "`.hm/`", inputs);
        catalog.warnings = warnings;
        for file in of_kind(Kind::TypeScript) {
            let message = format!(
                "{}: TypeScript pipelines are not supported",
                plain(&file.name)
            );
            catalog.warnings.push(Problem::new(message));
        }
        for file in found.iter() {
            match file.kind {
                Kind::Toml => catalog.add_toml_file(file),
                Kind::Json => catalog.add_json_file(file),
                Kind::Python | Kind::TypeScript => {}
            }
        }
        let python: Vec<&Found> = of_kind(Kind::Python).collect();
        catalog.add_python_files(&python, inputs);
        Ok(catalog)
    }

    /// Returns the pipeline files in order of their names.
    fn files(&self) -> Result<(Vec<Found>, Vec<Problem>), PipelineError> {
        let folder = self.root.join(FOLDER);
        let cannot = |error| PipelineError::io(format!("cannot read {}", folder.display()), error);
        let (mut files, mut warnings) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&folder).map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            let Some(kind) = Kind::of_path(&path).filter(|_| path.is_file()) else {
                continue;
            };
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                let shown = plain(&path.display().to_string());
                warnings.push(Problem::new(format!(
                    "{shown}: left out, its name is not UTF-8"
                )));
                continue;
            };
            if name == CONFIGURATION || name.starts_with('.') || TOOL_FILES.contains(&name) {
                continue;
            }
            let stem = name
                .rsplit_once('.')
                .map_or(name, |(stem, _)| stem)
                .to_owned();
            files.push(Found {
                kind,
                name: format!("{FOLDER}/{name}"),
                stem,
                path,
            });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((files, warnings))
    }
}

/// Returns the error for a TypeScript pipeline.
pub(super) fn type_script(file: &str) -> PipelineError {
    PipelineError::usage_with(
        format!("{}: TypeScript pipelines are not supported", plain(file)),
        "write the pipeline as `.hm/NAME.py` or `.hm/NAME.toml`, or hand in rendered JSON: \
         `hm run --file FILE.json`",
    )
}

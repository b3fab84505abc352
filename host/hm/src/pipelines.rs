//! From the command line to a checked pipeline: where the files are, and what rendering
//! them depends on.

use std::io::Read;
use std::path::{Path, PathBuf};

use hm_pipeline::project::{Catalog, Inputs, Project, Rendered};
use hm_pipeline::python::{Python, RENDER_TIMEOUT};
use hm_pipeline::{PipelineError, ir};

use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Which pipelines a command is about.
#[derive(Debug, Default)]
pub(crate) struct Place<'a> {
    /// `-d`: where to look, upwards, for `.hm/`.
    pub(crate) dir: Option<&'a Path>,
    /// `--file`: a single document instead; `-` is standard input.
    pub(crate) file: Option<&'a Path>,
}

/// Pipelines that were found, and the repository that they run on.
pub(crate) struct Found {
    /// Canonical.
    pub(crate) root: PathBuf,
    /// All there are.
    pub(crate) catalog: Catalog,
}

impl Place<'_> {
    /// Reads the pipelines. What files printed while they were loaded is for `-v`.
    ///
    /// # Errors
    /// As the pipelines have it: exit 2, 4 or 7.
    pub(crate) fn read(&self, terminal: &Terminal, verbose: bool) -> Result<Found, Failure> {
        let inputs = inputs();
        let start = self.dir.unwrap_or(Path::new("."));
        let found = match self.file {
            None => {
                let project = Project::find(start).map_err(failure)?;
                Found {
                    catalog: project.catalog(&inputs).map_err(failure)?,
                    root: project.root().to_owned(),
                }
            }
            Some(file) => {
                let root = match crate::project::find_root(self.dir)? {
                    Some(root) => root,
                    None => start
                        .canonicalize()
                        .map_err(|error| cannot_use(start, error))?,
                };
                let catalog = if file == Path::new("-") {
                    let mut text = Vec::new();
                    std::io::stdin()
                        .lock()
                        .read_to_end(&mut text)
                        .map_err(|error| {
                            Failure::caused(Exit::Usage, "cannot read standard input", error)
                        })?;
                    Catalog::of_stdin(text, &root, &inputs)
                } else {
                    Catalog::of_file(file, &root, &inputs)
                };
                Found {
                    catalog: catalog.map_err(failure)?,
                    root,
                }
            }
        };
        if verbose {
            for line in found.catalog.printed().lines() {
                terminal.note(&hm_render::clean_line(line));
            }
        }
        Ok(found)
    }
}

impl Found {
    /// Returns the chosen pipeline, or the only one; its warnings are printed.
    ///
    /// # Errors
    /// As the pipelines have it: exit 2, 4 or 7.
    pub(crate) fn choose(
        &self,
        slug: Option<&str>,
        terminal: &Terminal,
    ) -> Result<Rendered, Failure> {
        let rendered = self.catalog.choose(slug).map_err(failure)?;
        for warning in &rendered.warnings {
            terminal.warn(&warning.to_string());
        }
        Ok(rendered)
    }
}

/// Returns what rendering depends on besides the files.
fn inputs() -> Inputs {
    Inputs {
        python: Python {
            executable: "python3".into(),
            env: std::env::vars_os().collect(),
            timeout: RENDER_TIMEOUT,
        },
        // The predecessor's variable for what goes into cache keys.
        org: std::env::var("HM_PIPELINE_ORG")
            .ok()
            .filter(|org| !org.is_empty())
            .unwrap_or_else(|| "default".into()),
        now: u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0),
        default_image: ir::DEFAULT_IMAGE.into(),
    }
}

/// Takes over an error of the pipelines, which tells the whole story itself.
pub(crate) fn failure(error: PipelineError) -> Failure {
    Failure::new(Exit::from_code(error.kind().exit_code()), error)
}

fn cannot_use(dir: &Path, error: std::io::Error) -> Failure {
    Failure::caused(
        Exit::Usage,
        format!("cannot work in `{}`", dir.display()),
        error,
    )
}

//! `--report`: files about how a build ended.

use std::io::Write;
use std::path::{Path, PathBuf};

use hm_plugin_protocol::{BuildEvent, Plan};
use hm_render::{Report, ReportFormat};

use crate::failure::{Exit, Failure};

/// One report as the user wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// How it is written.
    pub(crate) format: ReportFormat,
    /// Where to. What was there is replaced once the new one is whole.
    pub(crate) path: PathBuf,
}

/// The reports of a run.
#[derive(Debug)]
pub(super) struct Reports {
    wanted: Vec<Wanted>,
    collected: Option<Report>,
}

impl Reports {
    /// Judges before the build whether reports could be written after it.
    ///
    /// # Errors
    /// Exit 2: a folder is not there.
    pub(super) fn open(wanted: &[Wanted]) -> Result<Self, Failure> {
        for Wanted { path, .. } in wanted {
            let folder = folder_of(path);
            if !folder.is_dir() || path.is_dir() {
                return Err(Failure::usage(format!(
                    "no report can be written to {}: {}",
                    path.display(),
                    if path.is_dir() {
                        "it is a folder".to_owned()
                    } else {
                        format!("there is no folder {}", folder.display())
                    }
                ))
                .hint("give a file in a folder that is there, as `--report junit=build.xml`"));
            }
        }
        Ok(Self {
            wanted: wanted.to_vec(),
            collected: None,
        })
    }

    /// Begins to collect, if any report is wanted.
    pub(super) fn begin(mut self, plan: &Plan, backend: &str) -> Self {
        self.collected = (!self.wanted.is_empty()).then(|| Report::new(plan, backend));
        self
    }

    /// Takes the next event.
    pub(super) fn event(&mut self, event: &BuildEvent) {
        if let Some(report) = &mut self.collected {
            report.event(event);
        }
    }

    /// Writes the files.
    ///
    /// # Errors
    /// Exit 4: one could not be written.
    pub(super) fn write(&self) -> Result<(), Failure> {
        let Some(report) = &self.collected else {
            return Ok(());
        };
        for Wanted { format, path } in &self.wanted {
            write(path, &report.write(*format)).map_err(|error| {
                Failure::caused(
                    Exit::Unavailable,
                    format!("cannot write the report {}", path.display()),
                    error,
                )
                .hint("give a file in a folder that can be written and has room")
            })?;
        }
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes a file whole or not at all; a device or a pipe as it is.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if path.exists() && !path.is_file() {
        return std::fs::write(path, text);
    }
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(folder_of(path))?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

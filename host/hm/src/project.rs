//! The repository in which a command works.

use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};

/// Name of the folder that holds pipelines and marks a repository's root.
pub(crate) const FOLDER: &str = ".hm";

/// Returns the closest folder, from `start` upwards, that has a `.hm/`, as a canonical
/// path; none if there is no such folder.
///
/// # Errors
/// Usage, if `start` is no folder that can be entered.
pub(crate) fn find_root(start: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    let start = start.unwrap_or(Path::new("."));
    let refused = |error| {
        Failure::caused(
            Exit::Usage,
            format!("cannot work in `{}`", start.display()),
            error,
        )
    };
    let folder = start.canonicalize().map_err(refused)?;
    if !folder.is_dir() {
        return Err(Failure::usage(format!(
            "`{}` is not a folder",
            start.display()
        )));
    }
    Ok(folder
        .ancestors()
        .find(|folder| folder.join(FOLDER).is_dir())
        .map(Path::to_owned))
}

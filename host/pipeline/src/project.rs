//! A project's pipelines: the files of `.hm/`, or one document that is handed in.

mod catalog;
mod choose;
mod discover;
mod kind;
mod rendered;

pub use catalog::{Catalog, Listed};
pub use discover::Project;
pub use rendered::Rendered;

use crate::python::Python;

/// What the result depends on besides the files.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Renders `.py` files.
    pub python: Python,
    /// Slug of the organization, which goes into cache keys; `default` without one.
    pub org: String,
    /// Now, in Unix seconds.
    pub now: u64,
    /// Image of root steps where nothing else names one; usually
    /// [`DEFAULT_IMAGE`](crate::ir::DEFAULT_IMAGE).
    pub default_image: String,
}

/// Returns the envelope of a project without pipelines.
pub fn empty_envelope() -> String {
    crate::ir::envelope([])
}

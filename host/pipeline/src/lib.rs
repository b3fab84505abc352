//! Pipeline documents to a checked [`Plan`](hm_plugin_protocol::Plan): v0 IR JSON.

mod cycle;
mod error;
pub mod ir;
mod json;
mod problem;
mod source;
mod text;

pub use error::{ErrorKind, InvalidPipeline, PipelineError};
pub use problem::Problem;
pub use source::{Place, Position, Source};

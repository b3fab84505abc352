//! Pipeline documents to a checked [`Plan`](hm_plugin_protocol::Plan): v0 IR JSON,
//! TOML and the Python DSL.

mod cache_key;
mod cycle;
pub mod draw;
mod duration;
mod error;
pub mod ir;
mod json;
mod path;
mod pipeline;
mod problem;
pub mod project;
pub mod python;
mod source;
mod text;
pub mod toml;
mod variable;
mod watch;

pub use cache_key::KeyInputs;
pub use error::{ErrorKind, InvalidPipeline, PipelineError};
pub use pipeline::{Checked, Pipeline, Reference, Target};
pub use problem::Problem;
pub use source::{Place, Position, Source};
pub use watch::watched;

//! v0 IR documents: bare or in an envelope, as the DSL emits them.

mod definition;
mod edges;
mod envelope;
mod step;

use crate::pipeline::Pipeline;

pub use envelope::{Shape, parse};

pub(crate) use edges::unique as unique_edges;
pub(crate) use envelope::{entry, envelope};

/// Image of a root step that names none, where the document has no `default_image`.
pub const DEFAULT_IMAGE: &str = "ubuntu:24.04";

/// A parsed document with all of its pipelines.
#[derive(Debug, Clone)]
pub struct Document {
    /// Bare or an envelope.
    pub shape: Shape,
    /// One for a bare document; any number for an envelope, in its order.
    pub pipelines: Vec<Pipeline>,
}

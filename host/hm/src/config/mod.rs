//! Configuration: defaults, the user's file, the repository's file, `HM_…` variables and
//! flags, each over the one before; and where each value came from.

mod file;
mod folders;
mod keys;
mod layer;
mod settings;
mod variables;
mod write;

pub(crate) use folders::Folders;
pub(crate) use keys::bytes;
pub(crate) use layer::{Layer, Origin, Setting, Value};
pub(crate) use settings::Settings;
pub(crate) use variables::unknown as unknown_variables;
pub(crate) use write::set as write;

pub(crate) use file::NAME as FILE_NAME;

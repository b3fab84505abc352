//! What the formats show of a build, from its events.

mod json;
mod plain;
mod script;

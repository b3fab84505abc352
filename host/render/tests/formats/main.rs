//! What the formats show of a build, from its events.

mod human;
mod json;
mod live;
mod plain;
mod script;

//! What the formats show of a build, from its events.

mod github;
mod human;
mod json;
mod live;
mod plain;
mod report;
mod script;

//! Handlers, one file a subject.

pub(crate) mod account;
pub(crate) mod billing;
pub(crate) mod builds;
pub(crate) mod jobs;
pub(crate) mod login;
pub(crate) mod pipelines;
pub(crate) mod submit;

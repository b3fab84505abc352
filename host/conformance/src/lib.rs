//! The conformance kit behind `hm backend test`: runs a component through builds of every
//! kind, in the real host, and holds what comes of it against the contract, clause by
//! clause.
//!
//! Machines are scripted ([`engine`]), so that nothing needs a namespace or a daemon, and
//! faults come when they are wanted. The commands are plain `sh` all the same: a backend
//! that hands them to a service runs them there.
//!
//! A build that breaks one rule says nothing about the others. So each check is passed,
//! failed, or not judged, and a fault fails the check that is named after it and no other.

mod check;
mod engine;
mod kit;
mod observe;
mod plans;
mod report;
mod rules;
mod scenarios;
mod shell;

pub use check::{Check, Finding, Verdict};
pub use kit::{Kit, KitError};
pub use report::Report;

//! Harmont's cloud, as a service on loopback.
//!
//! It does what the public server does, its oddities included, as far as a client that
//! submits and watches builds can tell: two versions, three shapes of errors, pages, log
//! streams that end late, a cap on bodies, a cancel that spoils finished builds. Jobs run
//! in machines ([`Machines`]) or are played ([`Played`]). Every request is held to
//! `openapi.json`, and a script of [`Fault`]s breaks what shall break.
//!
//! ```text
//! connection ──► fault? ──► route ──► scope ──► api/* ──► World ──► engine ──► Workload
//!                             └► description ──► Journal              └► logs ──► stream
//! ```

mod answer;
mod api;
mod config;
mod description;
mod dispatch;
mod engine;
mod error;
mod fault;
mod incoming;
mod journal;
mod link;
mod log;
mod operation;
mod paging;
mod plan;
mod render;
mod service;
mod state;
mod stream;
mod token;
mod world;

pub use config::{Config, Oddities, Versions};
pub use engine::{Ended, JobRun, LogWriter, Machines, Played, Script, Workload};
pub use fault::{Action, Fault};
pub use journal::{Exchange, Journal};
pub use operation::Operation;
pub use service::FakeCloud;
pub use state::{BuildState, JobState};

//! What the author of an `hm` execution backend depends on.
//!
//! A backend is a WebAssembly component that is handed a whole build: a plan (steps
//! and edges) and options. It says what happens as events, and ends with a verdict.
//! Implement [`Backend`] and name the type in [`export!`]:
//!
//! ```
//! use hm_backend_sdk::{
//!     Backend, BackendError, BuildStatus, Cancellation, Capabilities, Description, EventSink,
//!     RunRequest, StepEnded, StepStatus,
//! };
//!
//! struct Skipper;
//!
//! impl Backend for Skipper {
//!     fn describe() -> Description {
//!         Description {
//!             name: "skipper".into(),
//!             version: env!("CARGO_PKG_VERSION").into(),
//!             capabilities: Capabilities::OBSERVER,
//!         }
//!     }
//!
//!     async fn run(
//!         request: RunRequest,
//!         events: EventSink,
//!         _cancellation: Cancellation,
//!     ) -> Result<BuildStatus, BackendError> {
//!         for step in 0..request.plan.steps.len() as u32 {
//!             events.step_queued(step).await;
//!             events.step_ended(StepEnded::new(step, StepStatus::Skipped).detail("not today")).await;
//!         }
//!         Ok(BuildStatus::Passed)
//!     }
//! }
//!
//! hm_backend_sdk::export!(Skipper);
//! # fn main() {}
//! ```
//!
//! Build it as a `cdylib` for `wasm32-unknown-unknown` with `wasm-component-ld` as the
//! linker, and run it: `hm run --backend FILE.wasm`.
//!
//! What a backend calls is what it asks the user for: [`vm`], [`source`] and [`http`] are
//! grants, [`clock`] and [`log`] are free; `std` has no clock, file, socket or output here. The
//! crate also compiles natively, for lints and tests: `hm-backend-testkit` runs a backend
//! in a simulated world, in the milliseconds of a plain `cargo test`.

#[cfg(target_family = "wasm")]
mod adapter;
mod backend;
mod cancellation;
mod events;
mod export;
mod platform;
mod settings;
mod sink;
mod steps;
mod text;
mod trace;
mod walk;

#[expect(
    missing_docs,
    reason = "generated; the interface files are commented where it matters"
)]
pub mod bindings;
pub mod clock;
pub mod http;
pub mod log;
pub mod source;
pub mod vm;
#[cfg(not(target_family = "wasm"))]
pub mod world;

#[cfg(target_family = "wasm")]
pub use adapter::Adapter;
pub use backend::Backend;
pub use bindings::hm::backend::control::CancelReason;
pub use bindings::hm::backend::events::{
    Accepted, BuildEvent, Custom, Level, LogChannel, Notice, StepEnded, StepOutput, StepStarted,
};
pub use bindings::hm::backend::types::{
    BackendError, BuildStatus, Capabilities, CommitInfo, Description, Edge, EdgeKind, Plan,
    Rejection, RunOptions, RunRequest, SourceSize, Step, StepId, StepStatus,
};
pub use cancellation::{Cancellation, Cancelled};
pub use export::VERSION;
#[doc(hidden)]
pub use export::{assert_backend, join, joined_len};
pub use settings::SettingsError;
pub use sink::EventSink;
pub use steps::{QueuedStep, RunningStep};
pub use text::{MAX_OUTPUT_CHUNK, MAX_TEXT};
pub use walk::{Stop, Stopped, Turn, walk};

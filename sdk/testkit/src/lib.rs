//! A simulated world for the tests of an `hm` execution backend.
//!
//! The backend is compiled natively, so a test is a plain `cargo test`: no engine, no
//! machines, no network. Commands end as they are scripted, a server answers as it is
//! scripted, and time is virtual: a ten-minute poll is over at once. The world holds the
//! backend to the rules that `hm` holds it to, and says which one was broken.
//!
//! ```
//! use hm_backend_sdk::{
//!     Backend, BackendError, BuildStatus, Cancellation, Capabilities, Description, EventSink,
//!     RunRequest, Turn, vm::Machine, walk,
//! };
//! use hm_backend_testkit::{Command, Pipeline, Simulation};
//!
//! struct Simple;
//!
//! impl Backend for Simple {
//!     fn describe() -> Description {
//!         Description {
//!             name: "simple".into(),
//!             version: "1.0.0".into(),
//!             capabilities: Capabilities::HONORS_PARALLELISM,
//!         }
//!     }
//!
//!     async fn run(
//!         request: RunRequest,
//!         events: EventSink,
//!         cancellation: Cancellation,
//!     ) -> Result<BuildStatus, BackendError> {
//!         walk(&request, &events, &cancellation, async |turn: Turn<()>| {
//!             let plan = turn.plan().clone();
//!             let image = turn.step().image.clone().unwrap_or_default();
//!             let step = turn.start("vm").await;
//!             let machine = Machine::boot_image(step.id(), image, Default::default()).await?;
//!             let status = machine.run(step.id()).await?;
//!             let id = step.id() as usize;
//!             step.end(&plan.steps[id], status).await;
//!             Ok(())
//!         })
//!         .await
//!     }
//! }
//!
//! # fn main() {
//! let pipeline = Pipeline::new().step("build").step("lint");
//! let played = Simulation::of(pipeline)
//!     .command("lint", Command::exits(3).after_secs(600))
//!     .run::<Simple>();
//! assert_eq!(played.status(), BuildStatus::Failed);
//! assert_eq!(
//!     played.timeline(),
//!     "    0s  build  queued
//!     0s  lint   queued
//!     0s  build  started on vm (host)
//!     0s  lint   started on vm (host)
//!     1s  build  passed (0)
//!   600s  lint   failed (3)
//!   600s  build failed
//! "
//! );
//! # }
//! ```
//!
//! `timeline` is made for snapshot tests: `insta::assert_snapshot!(played.timeline())`.
//!
//! What may go wrong is injected: commands that are lost ([`Command::lost`]), boots that
//! fail ([`Simulation::fail_boot`]), servers that answer 500, slowly, or not at all
//! ([`Answer`]), and a cancellation at [any await](Simulation::each_cancellation).
//!
//! Natively a backend cannot trap; a panic is the test's own. What the simulation leaves
//! to `hm backend test`, which runs the component itself: memory, processor time, the size
//! of what crosses the border, and rates.

mod check;
mod clock;
mod command;
mod machines;
mod pipeline;
mod played;
mod server;
mod simulation;
mod world;

pub use command::Command;
pub use pipeline::Pipeline;
pub use played::{Outcome, Played};
pub use server::{Answer, ServerRequest};
pub use simulation::Simulation;

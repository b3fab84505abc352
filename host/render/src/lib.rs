//! Build events to what a person or a program reads.
//!
//! Events are folded into [`State`], which knows no clock and no terminal; drawing
//! takes a state, a moment and a size, and gives lines. The formats are siblings:
//! [`Json`], [`Plain`] and [`Github`] show every event and every line, [`Human`] shows what
//! is going on now and the full log of what failed; a [`Report`] is a file about the end.
//!
//! Nothing here reads the environment or looks for a terminal. The binary hands in
//! a writer, [`Options`], and the time; an error of the writer (a closed pipe, say)
//! comes back as it is.
//!
//! ```
//! # use hm_plugin_protocol::{BuildEvent, Plan};
//! use hm_render::{Json, Options, Plain, Renderer};
//!
//! # fn show(plan: &Plan, is_json: bool, events: &[BuildEvent]) -> std::io::Result<()> {
//! let mut renderer: Box<dyn Renderer> = match is_json {
//!     true => Box::new(Json::new(std::io::stdout())),
//!     false => Box::new(Plain::new(std::io::stdout(), plan, &Options::default())),
//! };
//! for event in events {
//!     renderer.event(event)?;
//! }
//! renderer.finish(None)
//! # }
//! ```

mod buffer;
mod error;
mod github;
mod human;
mod json;
mod pieces;
mod plain;
mod renderer;
mod report;
mod state;
mod text;

pub use error::{inert, write_error, write_warning};
pub use github::Github;
pub use human::Human;
pub use json::Json;
pub use plain::Plain;
pub use renderer::{Detail, Options, Renderer, Size};
pub use report::{Report, ReportFormat};
pub use state::{Counts, Phase, State, StepState, Verdict, last_segment};
pub use text::clean::clean_line;

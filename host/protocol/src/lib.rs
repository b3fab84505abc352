//! What a build is, as plain data: the plan, the events and the outcome.
//!
//! Every room of the host speaks in these types. Nothing here does I/O, knows a
//! component runtime or a terminal.

pub mod event;
pub mod graph;
pub mod ir;
pub mod marks;
pub mod outcome;
pub mod plan;
pub mod schema;

pub use event::{BuildEvent, Level, LogLines, LogStream, PlanSummary};
pub use graph::{Chains, PlanGraph};
pub use marks::{Marks, is_hidden};
pub use outcome::{BuildOutcome, BuildRef, BuildStatus, StepResultSummary, StepStatus};
pub use plan::{Cache, Edge, EdgeKind, Network, Plan, SECRET_PREFIX, Step, StepId};

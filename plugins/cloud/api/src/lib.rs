//! Harmont's REST interface as plain data: what goes over the wire, and what it means.
//!
//! Used by the `cloud` backend inside its sandbox and by the `hm cloud` commands outside:
//! one reading of objects, states, errors and log streams. No I/O, no clock.
//!
//! Reading is lenient where the service may grow: unknown fields are passed over, unknown
//! states are states that are not the last, and what only one version has is optional.

mod error;
mod log;
mod object;
mod path;
mod state;
mod time;

pub use error::{ApiError, Kind};
pub use log::{Chunk, LogItem, LogParser, StreamKind, TooLong};
pub use object::{
    Balance, Build, Checkout, CreateBuild, CreatePipeline, Credit, Job, JobList, LogToken,
    Organization, Page, Pipeline, Token, Transaction, Usage, User,
};
pub use path::{Version, encode, log_stream};
pub use state::{BuildState, JobState};
pub use time::{http_date, milliseconds};

/// Bytes of a JSON body that the service takes; exactly this many still pass.
pub const MOST_BODY_BYTES: usize = 8_000_000;

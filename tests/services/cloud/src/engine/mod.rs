//! Runs the jobs of builds.

mod machines;
mod played;
mod run;
mod workload;

pub use machines::Machines;
pub use played::{Played, Script};
pub(crate) use run::start;
pub use workload::{Ended, JobRun, LogWriter, Workload};

//! `hm:backend/vm`: machines for the steps of the plan.
//!
//! The guest holds handles only. What a machine's file system is (the state from which a
//! step may run) is known here alone; so a pass, and what may be cached, is never the
//! guest's word.

mod cache;
mod claims;
mod exec;
mod fetching;
mod host;
mod images;
mod machine;
mod run;
mod session;

use wasmtime_wasi::TrappableError;

pub use machine::{MachineEntry, SnapshotEntry};
pub(crate) use session::{VmRequest, VmSession, chain};

use crate::component::bindings::hm::backend::vm as wit;
use crate::sequencer::Violation;

/// An error for the guest, or a violation that ends the build.
pub type VmFail = TrappableError<wit::VmError>;

/// What a call on machines ends with.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The guest may go on.
    Guest(wit::VmError),
    /// The guest broke the protocol.
    Violation(Violation),
}

impl CallError {
    fn denied(text: impl Into<String>) -> Self {
        Self::Guest(wit::VmError::Denied(text.into()))
    }

    fn limit(text: impl Into<String>) -> Self {
        Self::Guest(wit::VmError::Limit(text.into()))
    }

    const CANCELLED: Self = Self::Guest(wit::VmError::Cancelled);
}

impl From<CallError> for VmFail {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Guest(error) => error.into(),
            CallError::Violation(violation) => Self::trap(violation),
        }
    }
}

impl From<Violation> for CallError {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

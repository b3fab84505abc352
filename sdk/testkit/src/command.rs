//! How a step's command goes.

use std::time::Duration;

use hm_backend_sdk::vm::{ExecStatus, VmError};

/// How one run of a command goes: how long it takes and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub(crate) takes: Duration,
    pub(crate) end: Result<ExecStatus, VmError>,
    pub(crate) output: Vec<u8>,
}

impl Command {
    /// Ends with this exit code, after one second.
    pub fn exits(code: i32) -> Self {
        Self::ends(Ok(ExecStatus::Exited(code)))
    }

    /// Ends by this signal, after one second.
    pub fn signaled(signal: u32) -> Self {
        Self::ends(Ok(ExecStatus::Signaled(signal)))
    }

    /// Is killed for want of memory, after one second.
    pub fn out_of_memory() -> Self {
        Self::ends(Ok(ExecStatus::OutOfMemory))
    }

    /// Runs until it is killed: by its step's timeout, or with its machine.
    pub fn hangs() -> Self {
        Self::exits(0).after(Duration::MAX)
    }

    /// Loses its machine after one second.
    pub fn lost() -> Self {
        Self::ends(Err(VmError::Gone("the machine was lost".into())))
    }

    /// Ends like this, after one second.
    pub fn ends(end: Result<ExecStatus, VmError>) -> Self {
        Self {
            takes: Duration::from_secs(1),
            end,
            output: Vec::new(),
        }
    }

    /// Takes that long.
    #[must_use]
    pub fn after(mut self, takes: Duration) -> Self {
        self.takes = takes;
        self
    }

    /// Takes that many seconds.
    #[must_use]
    pub fn after_secs(self, seconds: u64) -> Self {
        self.after(Duration::from_secs(seconds))
    }

    /// Prints this; a backend sees it only of a command that it began by
    /// [`Machine::exec`](hm_backend_sdk::vm::Machine::exec).
    #[must_use]
    pub fn prints(mut self, output: impl Into<Vec<u8>>) -> Self {
        self.output = output.into();
        self
    }
}

impl Default for Command {
    /// Passes after one second.
    fn default() -> Self {
        Self::exits(0)
    }
}

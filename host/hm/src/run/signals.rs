//! Ctrl-C and the other signals that ask a process to end.
//!
//! The first asks the build to stop in order, the second ends it where it stands, the third
//! ends the process. Before there is a build, the first ends the process. The handlers are
//! installed always: a process in the background may have been started with the interrupt
//! ignored.

use std::io;
use std::sync::{Arc, OnceLock};

use hm_exec::Canceller;
use hm_plugin_protocol::Level;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::notes::Notes;
use crate::failure::Exit;

/// The build that signals end, once there is one.
#[derive(Clone, Default)]
pub(super) struct Target {
    canceller: Arc<OnceLock<Canceller>>,
}

impl Target {
    /// From now on, signals end this build.
    pub(super) fn set(&self, canceller: Canceller) {
        // Set once: a process runs one build.
        let _ = self.canceller.set(canceller);
    }
}

/// Installs the handlers on the current runtime.
///
/// # Errors
/// The system refused.
pub(super) fn install(notes: Notes) -> io::Result<Target> {
    let target = Target::default();
    let signals = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    tokio::spawn(listen(signals, target.clone(), notes));
    Ok(target)
}

async fn listen(
    [mut interrupt, mut terminate, mut hangup]: [Signal; 3],
    target: Target,
    notes: Notes,
) {
    let mut count = 0;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        count += 1;
        match (count, target.canceller.get()) {
            (1, Some(canceller)) => {
                canceller.cancel();
                notes.tell(
                    Level::Warning,
                    "cancelling: steps are being stopped; once more to stop at once",
                );
            }
            (2, Some(canceller)) => {
                canceller.kill();
                notes.tell(Level::Warning, "stopping at once");
            }
            // What is left behind is found and removed by the next run.
            _ => std::process::exit(i32::from(Exit::Cancelled.code())),
        }
    }
}

//! Lines for the person who debugs the backend; `hm run -v` shows them.
//!
//! What the user of a build should see is a [notice](crate::EventSink::notice) instead.
//! The host takes 100 lines a second (1,000 at once) of 4 KiB each, and counts what is
//! over it. The events and spans of the `tracing` crate arrive there too.

use crate::bindings::hm::backend::diagnostics::Severity;
use crate::platform::log;

/// Logs details of interest only while a fault is being chased.
pub fn trace(message: impl AsRef<str>) {
    log(Severity::Trace, message.as_ref());
}

/// Logs what the backend does.
pub fn debug(message: impl AsRef<str>) {
    log(Severity::Debug, message.as_ref());
}

/// Logs what is worth knowing in a run that goes well.
pub fn info(message: impl AsRef<str>) {
    log(Severity::Info, message.as_ref());
}

/// Logs what went wrong and was dealt with.
pub fn warn(message: impl AsRef<str>) {
    log(Severity::Warn, message.as_ref());
}

/// Logs what went wrong.
pub fn error(message: impl AsRef<str>) {
    log(Severity::Error, message.as_ref());
}

/// Sends panics and the events of `tracing` to the host. It shows a panic's message and
/// place as the error of the build, where there was only a bare trap otherwise.
/// [`Adapter`](crate::Adapter) calls this.
#[cfg(target_family = "wasm")]
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|panic| error(panic.to_string())));
    crate::trace::install();
}

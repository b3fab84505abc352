//! Lines for the person who debugs the backend; `hm run -v` shows them.
//!
//! What the user of a build should see is a [notice](crate::EventSink::notice) instead.
//! The host takes 100 lines a second (1,000 at once) of 4 KiB each, and counts what is
//! over it.

use crate::bindings::hm::backend::diagnostics::{Severity, log};

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

/// Sends the message of a panic to the host, which shows it beside the bare trap that
/// a panic is from outside. [`Adapter`](crate::Adapter) calls this.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| error(panic.to_string())));
}

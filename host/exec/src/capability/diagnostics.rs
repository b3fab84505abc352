//! `hm:backend/diagnostics`: lines for the person who debugs a backend.

use super::State;
use crate::component::bindings::hm::backend::diagnostics as wit;
use crate::sequencer::clean::one_line;
use crate::session::Session;

/// A line is cut here, in bytes.
pub(super) const LINE_MAX: usize = 4 << 10;

impl wit::Host for State {
    fn log(&mut self, severity: wit::Severity, message: String) -> wasmtime::Result<()> {
        tell(&self.session, severity, &message);
        Ok(())
    }
}

/// Shows a line, cut and cleaned, unless there were too many.
pub(super) fn tell(session: &Session, severity: wit::Severity, message: &str) {
    let message = session.hide(message.to_owned());
    let end = message.floor_char_boundary(LINE_MAX);
    let line = one_line(&message[..end]);
    let backend = session.backend();
    if !session.may_log(line.len()) {
        return;
    }
    match severity {
        wit::Severity::Trace => tracing::trace!(target: "hm::backend", backend, "{line}"),
        wit::Severity::Debug => tracing::debug!(target: "hm::backend", backend, "{line}"),
        wit::Severity::Info => tracing::info!(target: "hm::backend", backend, "{line}"),
        wit::Severity::Warn => tracing::warn!(target: "hm::backend", backend, "{line}"),
        wit::Severity::Error => {
            tracing::error!(target: "hm::backend", backend, "{line}");
            session.note_last_words(line);
        }
    }
}

//! How the user is asked: once, about exact bytes, with words that nobody types by accident.

use std::io::{self, BufRead, Write};

use rustix::termios::{QueueSelector, tcflush};

/// What the user decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// For this run.
    Once,
    /// From now on, in this repository.
    Grant,
    /// Anything else that was typed, or nothing.
    No,
}

/// Shows `question` on standard error and reads one line from the terminal. What was typed
/// before the question could be read is thrown away.
pub(crate) fn ask(question: &str) -> Answer {
    let mut line = String::new();
    let asked = (|| -> io::Result<()> {
        let mut err = io::stderr().lock();
        err.write_all(question.as_bytes())?;
        err.write_all(b"type `once` for this run, `grant` for this repository from now on, anything else for no: ")?;
        err.flush()?;
        // A hand that is still typing at something else needs a moment to stop.
        std::thread::sleep(std::time::Duration::from_millis(500));
        tcflush(io::stdin(), QueueSelector::IFlush)?;
        io::stdin().lock().read_line(&mut line)?;
        Ok(())
    })();
    match line.trim() {
        _ if asked.is_err() => Answer::No,
        "once" => Answer::Once,
        "grant" => Answer::Grant,
        _ => Answer::No,
    }
}

//! Why a command did not do what it was asked: kind, causes, and what to do next.

use std::error::Error;
use std::fmt;

/// Exit codes of `hm` (design, "Command line" and "Verdict and exit codes"). The verdict
/// of a build and the errors of a backend bring theirs along as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Success,
    /// The command line, the configuration or the project's layout is wrong.
    Usage,
    /// Something on this machine is missing: an engine, Python, room on the disk.
    Unavailable,
    /// Consent was needed and not given.
    Denied,
    /// Ended by the user.
    Cancelled,
    /// As something else decided: the build's verdict, a room's own error.
    Code(u8),
}

impl Exit {
    /// Returns the number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Usage => 2,
            Self::Unavailable => 4,
            Self::Denied => 6,
            Self::Cancelled => 130,
            Self::Code(code) => code,
        }
    }

    /// Takes a number of an exit code list; what does not fit a process counts as 1.
    pub(crate) fn from_code(code: i32) -> Self {
        Self::Code(u8::try_from(code).unwrap_or(1))
    }
}

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
    hints: Vec<String>,
    silent: bool,
}

impl Failure {
    /// Makes a failure out of a typed error.
    pub(crate) fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            exit,
            error: error.into(),
            hints: Vec::new(),
            silent: false,
        }
    }

    /// Makes a failure of a whole sentence about the command line or the configuration.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message.into())
    }

    /// Makes a failure that says what was tried, and keeps why it did not work.
    pub(crate) fn caused(
        exit: Exit,
        message: impl Into<String>,
        cause: impl Error + Send + Sync + 'static,
    ) -> Self {
        Self::new(
            exit,
            Context {
                message: message.into(),
                cause: Box::new(cause),
            },
        )
    }

    /// Makes an exit without a word: the reader has gone, or all has been said.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self {
            silent: true,
            ..Self::new(exit, "")
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns the exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns the error with its chain of causes.
    pub(crate) fn error(&self) -> &(dyn Error + 'static) {
        &*self.error
    }

    /// Returns what to do next.
    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Returns true if nothing is to be printed.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent
    }
}

impl From<std::io::Error> for Failure {
    /// For writes to standard output: a reader that has gone is no error of ours.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::silent(Exit::Success)
        } else {
            Self::caused(Exit::Unavailable, "cannot write to standard output", error)
        }
    }
}

/// What was tried, over why it did not work.
#[derive(Debug)]
struct Context {
    message: String,
    cause: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Context {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

/// Returns `known` that is closest to `word`, if it is close enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|&(distance, name)| distance <= 1 + name.chars().count() / 4)
        .min()
        .map(|(_, name)| name)
}

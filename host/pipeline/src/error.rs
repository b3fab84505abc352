//! Why there is no plan.

use std::fmt;
use std::io;

use crate::problem::Problem;
use crate::text::{name, plain};

/// Most problems that [`InvalidPipeline`] prints in full.
const MOST_PRINTED: usize = 100;

/// Columns to which problems are wrapped.
const WIDTH: usize = 80;

/// Which exit code an error belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line or the project's layout is wrong: exit code 2.
    Usage,
    /// Python or the DSL is missing: exit code 4.
    Unavailable,
    /// The pipeline is wrong: exit code 7.
    Invalid,
}

impl ErrorKind {
    /// Returns the exit code of `hm` for such an error.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Usage => 2,
            Self::Unavailable => 4,
            Self::Invalid => 7,
        }
    }
}

/// Why there is no plan. The text is complete: all problems and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The command line or the project's layout is wrong.
    #[error("{}", told(message, hint.as_deref()))]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do next.
        hint: Option<String>,
        /// Why, where the system said so.
        #[source]
        source: Option<io::Error>,
    },
    /// Something that the pipeline needs to be read is not there.
    #[error("{}", told(message, hint.as_deref()))]
    Unavailable {
        /// What is missing.
        message: String,
        /// What to do next.
        hint: Option<String>,
        /// Why, where the system said so.
        #[source]
        source: Option<io::Error>,
    },
    /// The pipeline is wrong.
    #[error("{0}")]
    Invalid(InvalidPipeline),
}

impl PipelineError {
    /// Makes a usage error.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// Makes a usage error with what to do next.
    pub fn usage_with(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: Some(hint.into()),
            source: None,
        }
    }

    /// Makes a usage error out of a failed system call.
    pub fn io(message: impl Into<String>, source: io::Error) -> Self {
        Self::Usage {
            message: message.into(),
            hint: None,
            source: Some(source),
        }
    }

    /// Makes an error for something that is missing.
    pub fn unavailable(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Unavailable {
            message: message.into(),
            hint: Some(hint.into()),
            source: None,
        }
    }

    /// Makes an error of all `problems` of a file.
    pub fn invalid(file: impl Into<String>, slug: Option<&str>, problems: Vec<Problem>) -> Self {
        let slug = slug.map(str::to_owned);
        Self::Invalid(InvalidPipeline {
            file: file.into(),
            slug,
            problems,
        })
    }

    /// Returns which exit code the error belongs to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Usage { .. } => ErrorKind::Usage,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Invalid(_) => ErrorKind::Invalid,
        }
    }

    /// Returns every problem of an invalid pipeline; none for other errors.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid(invalid) => &invalid.problems,
            _ => &[],
        }
    }
}

/// A pipeline with all that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPipeline {
    /// The file as the user knows it.
    pub file: String,
    /// The pipeline, where it is known.
    pub slug: Option<String>,
    /// At least one, in the document's order.
    pub problems: Vec<Problem>,
}

impl fmt::Display for InvalidPipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(f, "{count} problem{}", if count == 1 { "" } else { "s" })?;
        write!(f, " in {}", plain(&self.file))?;
        if let Some(slug) = &self.slug {
            write!(f, " (pipeline {})", name(slug))?;
        }
        for problem in self.problems.iter().take(MOST_PRINTED) {
            write!(f, "\n{}", problem.wrapped(WIDTH))?;
        }
        match count.saturating_sub(MOST_PRINTED) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

fn told(message: &str, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{message}\n  hint: {hint}"),
        None => message.to_owned(),
    }
}

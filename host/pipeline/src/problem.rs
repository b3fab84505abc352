//! What is wrong with a document, one by one.

use std::fmt;

use crate::source::Place;

/// One thing that is wrong with a document, or worth a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; none where it concerns more than one file.
    pub place: Option<Place>,
    /// What is wrong, with the offending value and what was expected. May have lines.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// Makes a problem with a place.
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self {
            place: Some(place),
            message: message.into(),
            hint: None,
        }
    }

    /// Makes a problem without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            place: None,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the problem as text wrapped to `width` columns, lines after the first
    /// indented by two.
    pub fn wrapped(&self, width: usize) -> String {
        let options = || {
            textwrap::Options::new(width)
                .subsequent_indent("  ")
                .break_words(false)
                .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit)
                .word_splitter(textwrap::WordSplitter::NoHyphenation)
        };
        let mut lines = Vec::new();
        let mut message = self.message.lines();
        let first = message.next().unwrap_or_default();
        let first = match &self.place {
            Some(place) => format!("{place}: {first}"),
            None => first.to_owned(),
        };
        lines.extend(
            textwrap::wrap(&first, options())
                .into_iter()
                .map(String::from),
        );
        for line in message {
            let options = options().initial_indent("  ").subsequent_indent("    ");
            lines.extend(textwrap::wrap(line, options).into_iter().map(String::from));
        }
        if let Some(hint) = &self.hint {
            let hint = format!("hint: {hint}");
            let options = options().initial_indent("  ").subsequent_indent("    ");
            lines.extend(textwrap::wrap(&hint, options).into_iter().map(String::from));
        }
        lines.join("\n")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

/// Sorts problems by their place in the document, those without one last.
pub(crate) fn sort(problems: &mut [Problem]) {
    problems.sort_by_key(
        |problem| match problem.place.as_ref().and_then(|p| p.position) {
            Some(position) => (0, Some(position)),
            None => (1, None),
        },
    );
}

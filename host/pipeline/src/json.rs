//! JSON text to a tree that keeps the place of every value.

mod reader;
mod scan;

pub(crate) use reader::{Reader, found, present};

use jsonc_parser::ast::Value;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions};
use serde::de::IgnoredAny;

use crate::problem::Problem;
use crate::source::Source;
use crate::text::quote;

/// What to suspect when there is more in a text than a document.
const PRINT_HINT: &str = "often a `print` in a pipeline file: print to standard error instead";

/// A document's text, made fit for the parser without moving any byte of it.
pub(crate) struct JsonText {
    /// As long as the original; what was replaced is in `problems` or `surrogates`.
    text: String,
    /// Offsets of `\u` escapes that are half of a pair.
    surrogates: Vec<usize>,
    problems: Vec<Problem>,
}

impl JsonText {
    /// Checks that `source` is one JSON text and cleans it of faults that need not
    /// stop the rest from being checked (byte order mark, trailing text, surrogates).
    ///
    /// # Errors
    /// Every problem, if there is no tree to look at.
    pub(crate) fn new(source: &Source) -> Result<Self, Vec<Problem>> {
        let mut text = source.text().to_owned();
        let mut problems = Vec::new();
        if text.starts_with('\u{feff}') {
            text.replace_range(..'\u{feff}'.len_utf8(), "   ");
            let problem = Problem::at(source.place("", 0), "begins with a byte order mark (BOM)");
            problems.push(problem.hint("save the document as UTF-8 without one"));
        }
        let scan = match scan::scan(text.as_bytes()) {
            Ok(scan) => scan,
            Err(offset) => {
                let message = format!("nested deeper than {} levels", scan::DEEPEST);
                problems.push(Problem::at(source.place("", offset), message));
                return Err(problems);
            }
        };
        for &offset in &scan.surrogates {
            // Same length, so that every offset stays true.
            text.replace_range(offset..offset + 6, "\\ufffd");
        }
        match end_of_document(source, &text) {
            Ok(end) => {
                if let Some(problem) = trailing(source, &text, end) {
                    problems.push(problem);
                    text.truncate(end);
                }
            }
            Err(problem) => {
                problems.push(problem);
                return Err(problems);
            }
        }
        Ok(Self {
            text,
            surrogates: scan.surrogates,
            problems,
        })
    }

    /// Returns the tree.
    ///
    /// # Errors
    /// Every problem, if the text has none after all.
    pub(crate) fn tree(&self, source: &Source) -> Result<Value<'_>, Vec<Problem>> {
        let collect = CollectOptions {
            comments: CommentCollectionStrategy::Off,
            tokens: false,
        };
        let strict = ParseOptions {
            allow_comments: false,
            allow_loose_object_property_names: false,
            allow_trailing_commas: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        };
        let problem = |offset, message: String| {
            let mut problems = self.problems.clone();
            problems.push(Problem::at(source.place("", offset), message));
            problems
        };
        match jsonc_parser::parse_to_ast(&self.text, &collect, &strict) {
            Ok(result) => result
                .value
                .ok_or_else(|| problem(0, "the document is empty".to_owned())),
            Err(error) => Err(problem(
                error.range().start,
                format!("not JSON: {}", error.kind()),
            )),
        }
    }

    /// Returns the text that the tree's ranges refer to.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the offsets of lone surrogate escapes.
    pub(crate) fn surrogates(&self) -> &[usize] {
        &self.surrogates
    }

    /// Returns what was wrong with the text as a whole.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// Returns where the first JSON value of `text` ends.
fn end_of_document(source: &Source, text: &str) -> Result<usize, Problem> {
    // The tree's parser is lenient by birth; this one holds to the standard.
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match stream.next() {
        Some(Ok(_)) => Ok(stream.byte_offset()),
        None => {
            let problem = Problem::at(source.place("", 0), "the document is empty");
            Err(problem.hint("the program that should have printed it may have failed"))
        }
        Some(Err(error)) => {
            let start = text.len() - text.trim_start().len();
            let first = text[start..].lines().next().unwrap_or_default();
            let begins_like_json = first.starts_with(['{', '[', '"', '-'])
                || first.starts_with(|c: char| c.is_ascii_digit());
            if !begins_like_json {
                let message = format!("not JSON: begins with {}", quote(first));
                return Err(Problem::at(source.place("", start), message).hint(PRINT_HINT));
            }
            let offset = source.offset(error.line(), error.column());
            let told = error.to_string();
            let told = told.split(" at line ").next().unwrap_or(&told);
            Err(Problem::at(
                source.place("", offset),
                format!("not JSON: {told}"),
            ))
        }
    }
}

fn trailing(source: &Source, text: &str, end: usize) -> Option<Problem> {
    let rest = text[end..].trim_start();
    let first = rest.lines().next()?;
    let offset = text.len() - rest.len();
    let message = format!("text after the end of the document: {}", quote(first));
    Some(Problem::at(source.place("", offset), message).hint(PRINT_HINT))
}

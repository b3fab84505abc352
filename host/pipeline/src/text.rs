//! Foreign text inside a message: quoted, escaped and cut.

use std::fmt::Write as _;

use hm_plugin_protocol::{Marks, is_hidden};

/// Longest quotation in a message, in characters.
const LONGEST_QUOTATION: usize = 60;

/// Returns `text` in double quotes, without control characters, cut at 60 characters.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    let mut marks = Marks::default();
    for (index, character) in text.chars().enumerate() {
        if index == LONGEST_QUOTATION {
            marks.push('…', &mut quoted);
            break;
        }
        match character {
            '"' | '\\' | '\n' | '\r' | '\t' => {
                marks.end(&mut quoted);
                quoted.extend(character.escape_default());
            }
            other => push_visible(&mut quoted, &mut marks, other),
        }
    }
    marks.push('"', &mut quoted);
    quoted
}

/// Returns `text` without control characters.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = Marks::default();
    text.chars()
        .for_each(|character| push_visible(&mut out, &mut marks, character));
    marks.end(&mut out);
    out
}

/// Returns a key as it is where that reads well, otherwise quoted.
pub(crate) fn name(key: &str) -> String {
    let simple = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':');
    if !key.is_empty() && key.chars().count() <= LONGEST_QUOTATION && key.chars().all(simple) {
        key.to_owned()
    } else {
        quote(key)
    }
}

fn push_visible(out: &mut String, marks: &mut Marks, character: char) {
    if character.is_control() || is_hidden(character) {
        marks.end(out);
        // Writing to a String cannot fail.
        let _ = write!(out, "\\u{{{:x}}}", character as u32);
    } else {
        marks.push(character, out);
    }
}

/// Returns the candidate that `word` was most likely meant to be.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A third of the word may be wrong; more than that is another word.
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

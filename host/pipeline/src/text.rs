//! Foreign text inside a message: quoted, escaped and cut.

use std::fmt::Write as _;

/// Longest quotation in a message, in characters.
const LONGEST_QUOTATION: usize = 60;

/// Returns `text` in double quotes, without control characters, cut at 60 characters.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for (index, character) in text.chars().enumerate() {
        if index == LONGEST_QUOTATION {
            quoted.push('…');
            break;
        }
        match character {
            '"' | '\\' | '\n' | '\r' | '\t' => quoted.extend(character.escape_default()),
            other => push_visible(&mut quoted, other),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns `text` without control characters.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars()
        .for_each(|character| push_visible(&mut out, character));
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

fn push_visible(out: &mut String, character: char) {
    // Bidirectional overrides could make a message read as another one.
    let hidden = matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if character.is_control() || hidden {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\u{{{:x}}}", character as u32);
    } else {
        out.push(character);
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

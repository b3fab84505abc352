//! Characters that are drawn over the one before them, and those that are not drawn at all.

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

/// Returns true for a character that hides or reorders text around it: marks of writing
/// direction, which can make a line read as another one, line separators, what is not drawn
/// (Unicode's `Default_Ignorable_Code_Point`, but the variants of signs), and
/// tags. Controls are not among them: what becomes of those depends on the place.
pub fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Marks in a row that are shown. No writing stacks more than some; Unicode's stream-safe
/// form (UAX #15, section 13) calls thirty more than any text needs, and a stack of thirty
/// already covers the lines above it.
const SHOWN: usize = 8;

/// Appends characters as they are, but no more marks on one character than writing has: the
/// others are counted, as in `\u{301}×1992`.
#[derive(Debug, Default)]
pub struct Marks {
    run: usize,
    last: Option<char>,
}

impl Marks {
    /// Appends a character.
    pub fn push(&mut self, c: char, out: &mut String) {
        if !is_mark(c) {
            self.end(out);
            out.push(c);
            return;
        }
        self.run += 1;
        if self.run <= SHOWN {
            out.push(c);
        } else {
            self.last = Some(c);
        }
    }

    /// Appends how many marks were left out; before anything else is appended, and at last.
    pub fn end(&mut self, out: &mut String) {
        if let Some(last) = self.last.take() {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{{{:x}}}×{}", last as u32, self.run - SHOWN);
        }
        self.run = 0;
    }
}

fn is_mark(c: char) -> bool {
    c >= '\u{300}' && c.width() == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let (mut marks, mut out) = (Marks::default(), String::new());
        for c in text.chars() {
            marks.push(c, &mut out);
        }
        marks.end(&mut out);
        out
    }

    #[test]
    fn what_languages_write_stays() {
        for text in [
            "e\u{301}",
            "Z\u{323}\u{307}x",
            "เพื่อนี้",
            "שָׁלוֹם",
            "❤\u{fe0f}",
            "한국",
            "中",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn stacks_are_counted() {
        let high = format!("a{}b{}", "\u{301}".repeat(2_000), "\u{302}".repeat(9));
        let eight = |mark: &str| mark.repeat(8);
        assert_eq!(
            shown(&high),
            format!(
                "a{}\\u{{301}}×1992b{}\\u{{302}}×1",
                eight("\u{301}"),
                eight("\u{302}")
            )
        );
    }
}

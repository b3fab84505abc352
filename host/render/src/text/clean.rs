//! Text that others wrote, made safe for one line of a terminal.
//!
//! Output and notices come clean from the session. Keys, labels and errors do not:
//! they are the words of a pipeline's author, of a component or of a service.

use std::borrow::Cow;
use std::fmt::Write;

use hm_plugin_protocol::{Marks, is_hidden};

/// Returns `text` for one line: a line end becomes `⏎`, a tab a space, and everything that
/// could steer a terminal or hide or reorder text is shown as its escape. Marks that pile up
/// on one character are counted.
pub fn clean_line(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    let mut marks = Marks::default();
    for c in text.chars() {
        match c {
            '\n' => marks.push('⏎', &mut clean),
            '\t' => marks.push(' ', &mut clean),
            c if !c.is_control() && !is_hidden(c) => marks.push(c, &mut clean),
            c => {
                marks.end(&mut clean);
                // Writing to a string cannot fail.
                let _ = if (c as u32) < 0x100 {
                    write!(clean, "\\x{:02x}", c as u32)
                } else {
                    write!(clean, "\\u{{{:x}}}", c as u32)
                };
            }
        }
    }
    marks.end(&mut clean);
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(clean_line("plain ünï"), "plain ünï");
        assert_eq!(
            clean_line("a\nb\tc\x1b[2J\x7f\u{9b}x"),
            "a⏎b c\\x1b[2J\\x7f\\x9bx"
        );
        assert_eq!(clean_line("ab\u{202e}cd\u{200b}"), "ab\\u{202e}cd\\u{200b}");
        assert!(clean_line(&"\u{301}".repeat(2_000)).ends_with("\\u{301}×1992"));
    }
}

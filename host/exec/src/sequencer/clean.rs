//! Text that cannot do anything to a terminal, a log or a reader (reference `sandbox`,
//! section 9).

use std::fmt::Write;

use bytes::Bytes;
use bytestring::ByteString;
use hm_plugin_protocol::{Marks, is_hidden};
use serde_json::Value;

/// Returns text on one line: line ends become `⏎`, everything that a terminal would act
/// on or hide becomes visible.
pub(crate) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = Marks::default();
    for c in text.trim_end_matches(['\n', '\r']).chars() {
        match c {
            '\n' => marks.push('⏎', &mut out),
            c => push(c, &mut marks, &mut out),
        }
    }
    marks.end(&mut out);
    out
}

/// Characters of a message that quotes what stands in a component's file.
const MESSAGE: usize = 600;

/// As [`one_line`], cut where nobody would read on: a name in a component's file may have
/// 100,000 bytes, and a message quotes several.
pub(crate) fn message(text: &str) -> String {
    let mut line = one_line(text);
    if let Some((end, _)) = line.char_indices().nth(MESSAGE) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Makes every text of a JSON value harmless, names of members included. Line ends stay: JSON
/// itself keeps them in their string. The value is as deep as its reader allowed.
pub(super) fn harmless(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(visible(&text)),
        Value::Array(items) => items.into_iter().map(harmless).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (visible(&name), harmless(value)))
            .collect(),
        value => value,
    }
}

fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = Marks::default();
    for c in text.chars() {
        match c {
            '\n' => marks.push(c, &mut out),
            c => push(c, &mut marks, &mut out),
        }
    }
    marks.end(&mut out);
    out
}

/// Bytes from which on text is handed on in the bytes that it came in: those keep the whole
/// block that was read into.
const WORTH_SHARING: usize = 4096;

/// Returns complete lines of machine output, as [`push_lines`] writes them. A flood that needs
/// no change is not copied.
pub(super) fn lines(bytes: Bytes) -> ByteString {
    if bytes.len() >= WORTH_SHARING && is_plain(&bytes) {
        // SAFETY: each byte was just seen to be ASCII, which is UTF-8. Nobody can change a byte
        // of `Bytes`. A second look at a hundred megabytes is what this saves (bench row
        // `policy-logs`).
        return unsafe { ByteString::from_bytes_unchecked(bytes) };
    }
    let mut out = String::with_capacity(bytes.len() + 1);
    push_lines(&bytes, &mut out);
    out.into()
}

/// Appends complete lines of machine output, each ended by `\n`.
///
/// Colours (SGR) stay and are reset at the line's end; all other escapes become visible. A
/// `\r` before the line end belongs to it; an inner one stays.
pub(super) fn push_lines(bytes: &[u8], out: &mut String) {
    if is_plain(bytes) {
        push_plain(bytes, out);
        return;
    }
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if is_plain(line) {
            push_plain(line, out);
        } else {
            push_line(&String::from_utf8_lossy(line), out);
        }
        out.push('\n');
    }
}

/// True for printable ASCII, tabs and line ends: nearly all output, and a loop that the
/// compiler turns into vector instructions.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.chunks(4096).all(|block| {
        block.iter().fold(true, |plain, &byte| {
            plain & (byte.wrapping_sub(0x20) < 0x5f || byte == b'\n' || byte == b'\t')
        })
    })
}

fn push_plain(bytes: &[u8], out: &mut String) {
    // Plain is ASCII: nothing is replaced.
    out.push_str(&String::from_utf8_lossy(bytes));
}

fn push_line(line: &str, out: &mut String) {
    let mut rest = line;
    let mut is_coloured = false;
    let mut marks = Marks::default();
    while let Some(c) = rest.chars().next() {
        if c == '\u{1b}'
            && let Some(sequence) = sgr(rest)
        {
            out.push_str(sequence);
            is_coloured = !matches!(sequence, "\u{1b}[m" | "\u{1b}[0m");
            rest = &rest[sequence.len()..];
            continue;
        }
        match c {
            '\r' => marks.push(c, out),
            c => push(c, &mut marks, out),
        }
        rest = &rest[c.len_utf8()..];
    }
    marks.end(out);
    if is_coloured {
        out.push_str("\u{1b}[0m");
    }
}

/// Returns the colour sequence at the start of `text`: `ESC [`, digits, `;` and `:`, `m`.
fn sgr(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))?;
    (parameters[end..].starts_with('m') && end <= 64).then(|| &text[..2 + end + 1])
}

/// Appends one character, in visible form if a terminal would act on it or hide it.
fn push(c: char, marks: &mut Marks, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match c {
        '\t' => {
            marks.push(c, out);
            Ok(())
        }
        '\0'..='\u{1f}' | '\u{7f}' => {
            marks.end(out);
            write!(out, "\\x{:02x}", c as u32)
        }
        c if c.is_control() || is_hidden(c) => {
            marks.end(out);
            write!(out, "\\u{{{:x}}}", c as u32)
        }
        c => {
            marks.push(c, out);
            Ok(())
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> String {
        let mut out = String::new();
        push_lines(bytes, &mut out);
        out
    }

    #[test]
    fn colours_stay_and_end_with_the_line() {
        assert_eq!(lines(b"\x1b[1;31mred\n"), "\u{1b}[1;31mred\u{1b}[0m\n");
        assert_eq!(
            lines(b"\x1b[32mok\x1b[0m done\n"),
            "\u{1b}[32mok\u{1b}[0m done\n"
        );
    }

    #[test]
    fn everything_else_becomes_visible() {
        assert_eq!(
            lines(b"\x1b[2J\x1b]0;title\x07\x08\n"),
            "\\x1b[2J\\x1b]0;title\\x07\\x08\n"
        );
        assert_eq!(
            lines("a\u{202e}b\u{9b}c\n".as_bytes()),
            "a\\u{202e}b\\u{9b}c\n"
        );
        assert_eq!(one_line("a\nb\u{1b}[31m\tc\r\n"), "a⏎b\\x1b[31m\tc");
    }

    #[test]
    fn messages_are_cut() {
        let long = format!("ä{}", "\u{1b}".repeat(100_000));
        assert_eq!(message(&long).chars().count(), MESSAGE + 1);
        assert_eq!(message("short\n"), "short");
    }

    #[test]
    fn marks_do_not_pile_up() {
        let pile = "\u{301}".repeat(2_000);
        let eight = "\u{301}".repeat(8);
        assert_eq!(
            one_line(&format!("e{pile}")),
            format!("e{eight}\\u{{301}}×1992")
        );
        // Colours and what was made visible do not make room for more.
        let line = lines(format!("a{pile}\x1b[1m{pile}\u{202e}\n").as_bytes());
        let marks = line.chars().filter(|c| *c == '\u{301}').count();
        assert_eq!(marks, 8, "{line}");
        assert!(line.contains("\\u{301}×3992\\u{202e}"), "{line}");
    }

    #[test]
    fn json_is_clean_at_every_depth() {
        let value = serde_json::json!({"a\u{1b}": ["b\u{202e}\n", {"c": "\u{9b}", "d": 1}]});
        assert_eq!(
            harmless(value),
            serde_json::json!({"a\\x1b": ["b\\u{202e}\n", {"c": "\\u{9b}", "d": 1}]})
        );
    }

    #[test]
    fn carriage_returns_belong_to_the_line_end_or_stay() {
        assert_eq!(lines(b"dos\r\n10%\r100%\r\n"), "dos\n10%\r100%\n");
    }

    #[test]
    fn broken_text_is_replaced_not_lost() {
        assert_eq!(lines(b"a\xff\xfeb\n\xc3\xa4\n"), "a\u{fffd}\u{fffd}b\nä\n");
    }
}

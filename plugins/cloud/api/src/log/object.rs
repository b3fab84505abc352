//! One chunk's JSON object.

use serde::Deserialize;

use super::scan;
use super::{Chunk, LogItem, StreamKind};

#[derive(Deserialize)]
struct Wire {
    seq: i64,
    #[serde(default)]
    stream_kind: i64,
    #[serde(default)]
    content: String,
}

/// Reads a whole object and tells it. `scratch` is for texts with escapes in them.
pub(super) fn read<T>(
    json: &[u8],
    scratch: &mut Vec<u8>,
    tell: impl FnOnce(LogItem<'_>) -> T,
) -> T {
    if let Some((chunk, len)) = usual(json, scratch)
        && json[len..].trim_ascii().is_empty()
    {
        return tell(LogItem::Chunk(chunk));
    }
    match serde_json::from_slice::<Wire>(json) {
        Ok(wire) => tell(LogItem::Chunk(Chunk {
            seq: number(wire.seq),
            kind: StreamKind::of(wire.stream_kind),
            content: wire.content.as_bytes(),
        })),
        Err(error) => tell(LogItem::Unreadable(error.to_string())),
    }
}

fn number(seq: i64) -> u64 {
    seq.max(0).unsigned_abs()
}

/// Reads the object at the start of `bytes` if it is whole and written as the service
/// writes it; returns it with its length. What is written in another way is none, and for
/// a reader of all of JSON.
pub(super) fn usual<'a>(bytes: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<(Chunk<'a>, usize)> {
    let mut rest = Rest(bytes.strip_prefix(b"{")?);
    let (mut seq, mut kind, mut content) = (None, 0, Text::Plain(&[]));
    loop {
        if rest.has(b"\"seq\":") {
            seq = Some(rest.number()?);
        } else if rest.has(b"\"stream_kind\":") {
            kind = rest.number()?;
        } else if rest.has(b"\"content\":\"") {
            content = rest.text(scratch)?;
        } else if rest.has(b"\"ts\":") {
            if !rest.has(b"null") {
                rest.digits()?;
            }
        } else {
            return None;
        }
        match rest.byte()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    let chunk = Chunk {
        seq: number(seq?),
        kind: StreamKind::of(kind),
        content: match content {
            Text::Plain(text) => text,
            Text::Escaped => scratch,
        },
    };
    Some((chunk, bytes.len() - rest.0.len()))
}

enum Text<'a> {
    /// As it stands there.
    Plain(&'a [u8]),
    /// Put together elsewhere.
    Escaped,
}

/// Digits that any number of an `i64` may have.
const DIGITS: usize = i64::MAX.ilog10() as usize;

/// What is not read yet. Nothing is taken back: a method that returns none has failed.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn has<const N: usize>(&mut self, prefix: &[u8; N]) -> bool {
        match self.0.split_first_chunk() {
            Some((head, rest)) if scan::is_same(head, prefix) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Reads digits, one at least.
    fn digits(&mut self) -> Option<&'a [u8]> {
        let (digits, rest) = self.0.split_at(scan::digits(self.0));
        self.0 = rest;
        (!digits.is_empty()).then_some(digits)
    }

    /// Reads a number. One that may be too large is left to others.
    fn number(&mut self) -> Option<i64> {
        let is_negative = self.has(b"-");
        let digits = self.digits().filter(|digits| digits.len() <= DIGITS)?;
        let number = digits.iter().fold(0_i64, |number, digit| {
            number.wrapping_mul(10) + i64::from(digit - b'0')
        });
        Some(if is_negative { -number } else { number })
    }

    /// Reads a string after its opening quote.
    fn text(&mut self, scratch: &mut Vec<u8>) -> Option<Text<'a>> {
        let mut is_plain = true;
        loop {
            let (text, rest) = self.0.split_at(scan::special(self.0)?);
            if rest[0] == b'"' {
                self.0 = &rest[1..];
                if is_plain {
                    return Some(Text::Plain(text));
                }
                scratch.extend_from_slice(text);
                return Some(Text::Escaped);
            }
            if std::mem::take(&mut is_plain) {
                scratch.clear();
            }
            scratch.extend_from_slice(text);
            self.0 = rest.strip_prefix(b"\\")?;
            self.escape(scratch)?;
        }
    }

    /// Reads an escape after its backslash. Characters that take two are left to others.
    fn escape(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let byte = match self.byte()? {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                let (digits, rest) = self.0.split_first_chunk::<4>()?;
                let mut code = 0;
                for digit in digits {
                    code = code * 16 + char::from(*digit).to_digit(16)?;
                }
                let char = char::from_u32(code)?;
                self.0 = rest;
                text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                return Some(());
            }
            _ => return None,
        };
        text.push(byte);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads with and without the short way; both must agree.
    #[track_caller]
    fn both(json: &str) -> (bool, Option<(u64, StreamKind, String)>) {
        let mut scratch = b"old".to_vec();
        let quick = usual(json.as_bytes(), &mut scratch).map(|(chunk, len)| {
            assert_eq!(len, json.len());
            let text = String::from_utf8(chunk.content.to_vec()).unwrap();
            (chunk.seq, chunk.kind, text)
        });
        let slow = serde_json::from_str::<Wire>(json).ok().map(|wire| {
            let kind = StreamKind::of(wire.stream_kind);
            (number(wire.seq), kind, wire.content)
        });
        if quick.is_some() {
            assert_eq!(quick, slow, "{json}");
        }
        (quick.is_some(), slow)
    }

    #[test]
    fn what_the_service_writes_is_read_in_the_short_way() {
        for json in [
            r#"{"seq":1,"stream_kind":0,"content":"a line\n","ts":1790000000000000000}"#,
            r#"{"seq":2,"stream_kind":1,"content":"","ts":null}"#,
            r#"{"content":"\u001b[31mred\u001b[0m\t\"\\\/\b\f\r\u00e4 ä 日本","seq":3}"#,
            r#"{"seq":-1,"stream_kind":2,"content":"cut"}"#,
            r#"{"seq":999999999999999999,"content":"x"}"#,
        ] {
            assert!(both(json).0, "{json}");
        }
    }

    #[test]
    fn all_else_is_left_to_a_reader_of_all_of_json() {
        for json in [
            r#"{"seq":1,"content":"\ud83e\udd80"}"#,
            r#"{ "seq": 1, "content": "x" }"#,
            r#"{"seq":1,"content":"x","more":{"x":[1]}}"#,
            r#"{"seq":1,"ts":1.5}"#,
            r#"{"seq":9223372036854775807,"content":"x"}"#,
        ] {
            let (is_quick, slow) = both(json);
            assert!(!is_quick && slow.is_some(), "{json}");
        }
        for json in [
            r#"{"content":"x"}"#,
            r#"{"seq":99999999999999999999}"#,
            r#"{"seq":1,"content":"\ud83e"}"#,
            "{\"seq\":1,\"content\":\"a\nb\"}",
            r#"{"seq":1,"content":"\x"}"#,
        ] {
            assert_eq!(both(json), (false, None), "{json}");
        }
    }
}

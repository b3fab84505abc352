//! Output lines, many at a time: the one event that comes by the million.

use bytestring::ByteString;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::LogStream;
use crate::plan::StepId;

/// Consecutive lines of one step on one channel, read at one moment.
///
/// Kept together because a step can print millions a second: formats write a batch
/// with one pass and no allocation a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLines {
    /// Stable within the run.
    pub step_id: Uuid,
    /// Index in the plan.
    pub step: StepId,
    /// Which channel.
    pub stream: LogStream,
    /// When they were read.
    pub ts: Timestamp,
    /// True if the last line here goes on in the next batch of this channel: it was too
    /// long to be held whole.
    pub partial: bool,
    /// The lines, each ended by `\n`. A flood is the very bytes that were read.
    text: ByteString,
}

impl LogLines {
    /// Makes a batch of `text`, in which every line, the last one too, ends with `\n`.
    /// A missing final line end is added.
    pub fn new(
        step_id: Uuid,
        step: StepId,
        stream: LogStream,
        ts: Timestamp,
        text: impl Into<ByteString>,
    ) -> Self {
        let mut text = text.into();
        if !text.ends_with('\n') {
            text = format!("{text}\n").into();
        }
        Self {
            step_id,
            step,
            stream,
            ts,
            partial: false,
            text,
        }
    }

    /// Marks the last line as going on in the next batch.
    #[must_use]
    pub fn partial(mut self) -> Self {
        self.partial = true;
        self
    }

    /// Returns all lines, each ended by `\n`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns each line, without its end.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        let text = self.text();
        let mut ends = memchr::memchr_iter(b'\n', text.as_bytes());
        let mut start = 0;
        std::iter::from_fn(move || {
            let end = ends.next()?;
            let line = &text[start..end];
            start = end + 1;
            Some(line)
        })
    }

    /// Appends one JSON object a line.
    pub fn write_json_lines(&self, out: &mut Vec<u8>) {
        let head = self.json_head() + r#","line":""#;
        let tail = format!(r#"","ts":"{}"}}"#, self.ts);
        out.reserve(self.text.len() + self.text.len() / 64 * (head.len() + tail.len()));
        let last = self.text.len();
        let mut read = 0;
        for line in self.lines() {
            read += line.len() + 1;
            out.extend_from_slice(head.as_bytes());
            escape(line.as_bytes(), out);
            if self.partial && read == last {
                out.extend_from_slice(br#"","partial":true"#);
                out.extend_from_slice(&tail.as_bytes()[1..]);
            } else {
                out.extend_from_slice(tail.as_bytes());
            }
            out.push(b'\n');
        }
    }

    /// Appends one JSON object for all lines, with `lines` in the place of `line`: less
    /// than half of what [`LogLines::write_json_lines`] writes for lines of 80 bytes.
    pub fn write_json_batch(&self, out: &mut Vec<u8>) {
        let head = self.json_head() + r#","lines":["#;
        out.reserve(head.len() + self.text.len() + self.text.len() / 16);
        out.extend_from_slice(head.as_bytes());
        let is_clean = !(self.text.bytes()).fold(false, |found, byte| {
            found | (changes(byte) & (byte != b'\n'))
        });
        for (at, line) in self.lines().enumerate() {
            out.extend_from_slice(if at == 0 { b"\"" } else { b"\",\"" });
            if is_clean {
                out.extend_from_slice(line.as_bytes());
            } else {
                escape(line.as_bytes(), out);
            }
        }
        out.extend_from_slice(b"\"]");
        if self.partial {
            out.extend_from_slice(br#","partial":true"#);
        }
        out.extend_from_slice(format!(",\"ts\":\"{}\"}}\n", self.ts).as_bytes());
    }

    fn json_head(&self) -> String {
        format!(
            r#"{{"kind":"step_log","step_id":"{}","step":{},"stream":"{}""#,
            self.step_id,
            self.step,
            self.stream.as_str()
        )
    }
}

/// Appends the inside of a JSON string: only `"`, `\` and control bytes change.
///
/// Most text has nothing to change, so it is looked at a block at a time, in a loop
/// that the compiler turns into vector instructions, and copied in long runs.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let mut clean = 0;
    let mut at = 0;
    while at < bytes.len() {
        let block = &bytes[at..bytes.len().min(at + BLOCK)];
        if block
            .iter()
            .fold(false, |found, &byte| found | changes(byte))
        {
            out.extend_from_slice(&bytes[clean..at]);
            escape_block(block, out);
            clean = at + block.len();
        }
        at += block.len();
    }
    out.extend_from_slice(&bytes[clean..]);
}

/// Bytes that are looked at together.
const BLOCK: usize = 32;

/// Returns true for a byte that cannot stand in a JSON string as it is.
fn changes(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Escapes at most one [`BLOCK`], in an array first: a growing `Vec` would be asked for
/// room at every byte.
fn escape_block(block: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut escaped = [0; 6 * BLOCK];
    let mut len = 0;
    for &byte in block {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\t' => b't',
            b'\r' => b'r',
            b'\n' => b'n',
            0..0x20 => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                escaped[len..len + 4].copy_from_slice(br"\u00");
                escaped[len + 4..len + 6].copy_from_slice(&digits);
                len += 6;
                continue;
            }
            _ => {
                escaped[len] = byte;
                len += 1;
                continue;
            }
        };
        escaped[len..len + 2].copy_from_slice(&[b'\\', short]);
        len += 2;
    }
    out.extend_from_slice(&escaped[..len]);
}

/// One line of output.
#[derive(Serialize, JsonSchema)]
struct Line<'a> {
    /// Stable within the run.
    step_id: Uuid,
    /// Index in the plan.
    #[serde(default)]
    step: StepId,
    /// Which channel.
    stream: LogStream,
    /// Without its end.
    line: std::borrow::Cow<'a, str>,
    /// True if the line goes on in the next one of this channel.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    /// When it was read.
    #[schemars(with = "String", extend("format" = "date-time"))]
    ts: Timestamp,
}

impl Serialize for LogLines {
    /// Writes the batch as one object; only a batch of one line round-trips. Formats
    /// use [`LogLines::write_json_lines`].
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Line {
            step_id: self.step_id,
            step: self.step,
            stream: self.stream,
            line: self.text.trim_end_matches('\n').into(),
            partial: self.partial,
            ts: self.ts,
        }
        .serialize(serializer)
    }
}

impl JsonSchema for LogLines {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LogLine".into()
    }

    /// Inline, so that the event's tag can stand beside the fields.
    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Line::json_schema(generator)
    }
}

/// What is read: either form.
#[derive(Deserialize)]
struct Read {
    step_id: Uuid,
    #[serde(default)]
    step: StepId,
    stream: LogStream,
    line: Option<String>,
    #[serde(default)]
    lines: Vec<String>,
    #[serde(default)]
    partial: bool,
    ts: Timestamp,
}

impl<'de> Deserialize<'de> for LogLines {
    /// Reads what [`LogLines::write_json_lines`] and [`LogLines::write_json_batch`] write.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Read::deserialize(deserializer)?;
        let text = match (read.line, read.lines) {
            (Some(line), lines) if lines.is_empty() => line,
            (None, lines) if !lines.is_empty() => lines.join("\n"),
            _ => return Err(D::Error::custom("one of `line` and `lines` is needed")),
        };
        let lines = Self::new(read.step_id, read.step, read.stream, read.ts, text + "\n");
        Ok(Self {
            partial: read.partial,
            ..lines
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BuildEvent;

    fn batch(text: &str) -> LogLines {
        LogLines::new(
            Uuid::nil(),
            3,
            LogStream::Stderr,
            Timestamp::UNIX_EPOCH,
            text.to_owned(),
        )
    }

    fn parsed(lines: LogLines) -> Vec<LogLines> {
        let mut out = Vec::new();
        BuildEvent::StepLog(lines).write_json_lines(&mut out);
        String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|line| match serde_json::from_str(line).unwrap() {
                BuildEvent::StepLog(line) => line,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn every_line_survives_json() {
        let texts = [
            "plain",
            "",
            "quo\"te \\ back",
            "tab\there",
            "inner\rreturn",
            "\u{1b}[31mred\u{1b}[0m",
            "ünï",
        ];
        let back = parsed(batch(&(texts.join("\n") + "\n")));
        let lines: Vec<_> = back.iter().flat_map(LogLines::lines).collect();
        assert_eq!(lines, texts);
        assert!(
            back.iter()
                .all(|line| line.step == 3 && line.stream == LogStream::Stderr)
        );
    }

    #[test]
    fn a_batch_survives_json_as_one_object() {
        for text in ["", "one", "one\n\ntwo \"\\\t\u{1b}[0m", "\n"] {
            for lines in [batch(text), batch(text).partial()] {
                let mut out = Vec::new();
                lines.write_json_batch(&mut out);
                assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
                let BuildEvent::StepLog(back) = serde_json::from_slice(&out).unwrap() else {
                    panic!("another event");
                };
                assert_eq!(back, lines);
            }
        }
    }

    #[test]
    fn every_character_survives_json_at_every_place_of_a_block() {
        for place in [0, 1, 30, 31, 32, 33, 64] {
            let all = (0..0x100)
                .filter(|&c| c != u32::from('\n'))
                .filter_map(char::from_u32);
            let texts: Vec<String> = all.map(|c| format!("{:place$}{c}{c} tail", "")).collect();
            let back = parsed(batch(&(texts.join("\n") + "\n")));
            assert_eq!(
                back.iter().flat_map(LogLines::lines).collect::<Vec<_>>(),
                texts
            );
        }
    }

    #[test]
    fn only_the_last_line_of_a_partial_batch_goes_on() {
        let back = parsed(batch("whole\npiece").partial());
        assert_eq!(
            back.iter().map(|line| line.partial).collect::<Vec<_>>(),
            [false, true]
        );
    }
}

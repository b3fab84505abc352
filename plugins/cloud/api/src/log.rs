//! Log streams: server-sent events with chunks of output, read as the bytes come.
//!
//! A stream begins with a `history` event that holds all chunks so far, be it a gigabyte:
//! chunks are taken out of it one by one, so that memory is bounded by the largest chunk.

use serde::Deserialize;

/// Bytes of one chunk on the wire, and of any line that is not a history: far more than
/// the service's own runner sends.
const MOST_CHUNK: usize = 16 << 20;

/// Where output was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// 0, and whatever else may come.
    Stdout,
    /// 1.
    Stderr,
    /// 2: about the log, as that it was cut.
    Meta,
}

/// A piece of output: usually a line with its end, but cut anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Grows along the stream, with gaps.
    pub seq: u64,
    /// Where it was printed.
    pub kind: StreamKind,
    /// The text.
    pub content: String,
}

/// What a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogItem {
    /// A piece of output. Its number may have been there before, on this connection or an
    /// earlier one.
    Chunk(Chunk),
    /// The history is over: all that had been printed by the connection's beginning is
    /// here.
    HistoryEnd,
    /// Nothing follows. A stream that ends without it was cut.
    Done,
    /// An event that should be a chunk and is none; says why.
    Unreadable(String),
}

/// A line or a chunk is over the limit of 16 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

#[derive(Deserialize)]
struct Wire {
    seq: i64,
    #[serde(default)]
    stream_kind: i64,
    #[serde(default)]
    content: String,
}

/// What the fields before told of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Event {
    #[default]
    Other,
    Chunk,
    History,
    Done,
}

/// Where in a line the next byte falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The name of a field, or a value that is kept until its end.
    Line,
    /// The data of a history, which is read as it comes.
    History,
}

/// Puts a stream together from bytes that are cut anywhere.
#[derive(Debug)]
pub struct LogParser {
    place: Place,
    line: Vec<u8>,
    event: Event,
    data: Vec<u8>,
    history: Objects,
    has_data: bool,
}

impl Default for LogParser {
    fn default() -> Self {
        Self {
            place: Place::Line,
            line: Vec::new(),
            event: Event::Other,
            data: Vec::new(),
            history: Objects::default(),
            has_data: false,
        }
    }
}

impl LogParser {
    /// Takes the next bytes, and appends what they say to `items`.
    ///
    /// # Errors
    /// Something is too long to be a log.
    pub fn take(&mut self, mut bytes: &[u8], items: &mut Vec<LogItem>) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            bytes = match self.place {
                Place::History => self.history(bytes, items)?,
                Place::Line => self.line(bytes, items)?,
            };
        }
        Ok(())
    }

    fn history<'a>(
        &mut self,
        bytes: &'a [u8],
        items: &mut Vec<LogItem>,
    ) -> Result<&'a [u8], TooLong> {
        // JSON has no line end of its own.
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        self.history.take(piece, items)?;
        if end.is_some() {
            self.place = Place::Line;
            return Ok(&rest[1..]);
        }
        Ok(rest)
    }

    fn line<'a>(&mut self, bytes: &'a [u8], items: &mut Vec<LogItem>) -> Result<&'a [u8], TooLong> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        if self.event == Event::History && self.begins_data(piece) {
            // What of the field's name is not here yet was in the line before.
            let name = b"data:".len() - self.line.len();
            self.line.clear();
            self.has_data = true;
            self.place = Place::History;
            return Ok(&bytes[name..]);
        }
        if self.line.len() + piece.len() > MOST_CHUNK {
            return Err(TooLong);
        }
        if end.is_none() {
            self.line.extend_from_slice(piece);
            return Ok(rest);
        }
        if self.line.is_empty() {
            self.field(piece, items)?;
        } else {
            self.line.extend_from_slice(piece);
            let line = std::mem::take(&mut self.line);
            self.field(&line, items)?;
        }
        Ok(&rest[1..])
    }

    /// Whether the open line and `piece` begin a field of data.
    fn begins_data(&self, piece: &[u8]) -> bool {
        let (open, name) = (self.line.len(), b"data:");
        open < name.len() && self.line == name[..open] && piece.starts_with(&name[open..])
    }

    fn field(&mut self, line: &[u8], items: &mut Vec<LogItem>) -> Result<(), TooLong> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            self.dispatch(items);
            return Ok(());
        }
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => {
                self.event = match value {
                    b"chunk" => Event::Chunk,
                    b"history" => Event::History,
                    b"done" => Event::Done,
                    _ => Event::Other,
                };
            }
            b"data" => {
                if self.data.len() + value.len() > MOST_CHUNK {
                    return Err(TooLong);
                }
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            // Ids repeat the chunks' numbers; comments are signs of life.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, items: &mut Vec<LogItem>) {
        let event = std::mem::take(&mut self.event);
        let has_data = std::mem::take(&mut self.has_data);
        match event {
            Event::Chunk if has_data => items.push(chunk(&self.data)),
            Event::History if has_data => {
                if !self.data.is_empty() {
                    // The data stood before its event: it was kept as a whole.
                    let _ = self.history.take(&self.data, items);
                }
                self.history = Objects::default();
                items.push(LogItem::HistoryEnd);
            }
            Event::Done => items.push(LogItem::Done),
            _ => {}
        }
        self.data.clear();
    }
}

fn chunk(json: &[u8]) -> LogItem {
    match serde_json::from_slice::<Wire>(json) {
        Ok(wire) => LogItem::Chunk(Chunk {
            seq: wire.seq.max(0).unsigned_abs(),
            kind: match wire.stream_kind {
                1 => StreamKind::Stderr,
                2 => StreamKind::Meta,
                _ => StreamKind::Stdout,
            },
            content: wire.content,
        }),
        Err(error) => LogItem::Unreadable(error.to_string()),
    }
}

/// Takes the objects out of `{"chunks":[…]}`: those two levels below.
#[derive(Debug, Default)]
struct Objects {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    object: Vec<u8>,
}

/// The depth of the list's own brackets.
const LIST: usize = 2;

impl Objects {
    fn take(&mut self, bytes: &[u8], items: &mut Vec<LogItem>) -> Result<(), TooLong> {
        // Since when bytes belong to an open object.
        let mut start = (self.depth > LIST).then_some(0);
        for (at, byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    if self.depth == LIST {
                        start = Some(at);
                    }
                    self.depth += 1;
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == LIST
                        && let Some(from) = start.take()
                    {
                        let piece = &bytes[from..=at];
                        if self.object.is_empty() {
                            items.push(chunk(piece));
                        } else {
                            self.object.extend_from_slice(piece);
                            items.push(chunk(&self.object));
                            self.object.clear();
                        }
                    }
                }
                _ => {}
            }
        }
        if let Some(from) = start {
            if self.object.len() + bytes.len() - from > MOST_CHUNK {
                return Err(TooLong);
            }
            self.object.extend_from_slice(&bytes[from..]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "event: history\ndata: {\"chunks\":[{\"seq\":1,\"stream_kind\":0,\
        \"content\":\"a \\\"}]\\\\\",\"ts\":1},{\"seq\":2,\"stream_kind\":1,\"content\":\"b\\n\",\
        \"ts\":null,\"more\":{\"x\":[1]}}]}\n\n:\n\nid: 5\nevent: chunk\n\
        data: {\"seq\":5,\"stream_kind\":2,\"content\":\"cut\",\"ts\":3}\n\n\
        event: other\ndata: {}\n\nevent: chunk\ndata: [\n\nevent: done\ndata: {}\n\n";

    fn items(stream: &str, cut: usize) -> Vec<LogItem> {
        let mut parser = LogParser::default();
        let mut items = Vec::new();
        for piece in stream.as_bytes().chunks(cut) {
            parser.take(piece, &mut items).unwrap();
        }
        items
    }

    fn piece(seq: u64, kind: StreamKind, content: &str) -> LogItem {
        LogItem::Chunk(Chunk {
            seq,
            kind,
            content: content.into(),
        })
    }

    #[test]
    fn a_stream_says_the_same_wherever_it_is_cut() {
        for cut in 1..=STREAM.len() {
            let items = items(STREAM, cut);
            assert_eq!(items.len(), 6, "{cut}: {items:?}");
            assert_eq!(items[0], piece(1, StreamKind::Stdout, "a \"}]\\"));
            assert_eq!(items[1], piece(2, StreamKind::Stderr, "b\n"));
            assert_eq!(items[2], LogItem::HistoryEnd);
            assert_eq!(items[3], piece(5, StreamKind::Meta, "cut"));
            assert!(matches!(items[4], LogItem::Unreadable(_)));
            assert_eq!(items[5], LogItem::Done);
        }
    }

    #[test]
    fn an_empty_history_and_carriage_returns_are_fine() {
        let stream =
            "event: history\r\ndata: {\"chunks\":[]}\r\n\r\nevent: done\r\ndata: {}\r\n\r\n";
        assert_eq!(items(stream, 3), [LogItem::HistoryEnd, LogItem::Done]);
    }

    #[test]
    fn data_may_stand_before_its_event() {
        let stream = "data: {\"chunks\":[{\"seq\":1,\"content\":\"x\"}]}\nevent: history\n\n";
        let found = items(stream, 7);
        assert_eq!(
            found,
            [piece(1, StreamKind::Stdout, "x"), LogItem::HistoryEnd]
        );
    }

    #[test]
    fn a_history_of_any_length_needs_no_memory_and_a_chunk_has_a_limit() {
        let mut parser = LogParser::default();
        let mut items = Vec::new();
        parser
            .take(b"event: history\ndata: {\"chunks\":[", &mut items)
            .unwrap();
        for seq in 1..=1000 {
            let object = format!("{{\"seq\":{seq},\"content\":\"{}\"}},", "x".repeat(1000));
            parser.take(object.as_bytes(), &mut items).unwrap();
            assert!(parser.history.object.capacity() < 4000 && parser.line.capacity() < 4000);
        }
        assert_eq!(items.len(), 1000);
        parser.take(b"{\"content\":\"", &mut items).unwrap();
        let long = vec![b'x'; MOST_CHUNK];
        assert_eq!(parser.take(&long, &mut items), Err(TooLong));
    }
}

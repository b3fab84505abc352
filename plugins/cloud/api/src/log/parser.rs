//! The lines of a stream, and the events that they make up.

use std::ops::ControlFlow;

use super::history::History;
use super::{LogItem, MOST_CHUNK, Stop, Tell, TooLong, heard, object};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// The name of a field, or a value that is kept until its end.
    #[default]
    Line,
    /// The data of a history, which is read as it comes.
    History,
}

/// Puts a stream together from bytes that are cut anywhere.
#[derive(Debug, Default)]
pub struct LogParser {
    place: Place,
    line: Vec<u8>,
    event: Event,
    data: Vec<u8>,
    scratch: Vec<u8>,
    history: History,
    has_data: bool,
}

impl LogParser {
    /// Takes the next bytes, and tells what they say, in its order, until it is told to
    /// break: then nothing more can be read.
    ///
    /// # Errors
    /// Something is too long to be a log.
    pub fn take<B>(
        &mut self,
        bytes: &[u8],
        mut tell: impl FnMut(LogItem<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, TooLong> {
        let mut last = None;
        let read = self.read(bytes, &mut |item| match tell(item) {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(value) => {
                last = Some(value);
                ControlFlow::Break(())
            }
        });
        match (read, last) {
            (Err(Stop::TooLong), _) => Err(TooLong),
            (_, Some(value)) => Ok(ControlFlow::Break(value)),
            (_, None) => Ok(ControlFlow::Continue(())),
        }
    }

    fn read(&mut self, mut bytes: &[u8], tell: &mut Tell<'_>) -> Result<(), Stop> {
        while !bytes.is_empty() {
            bytes = match self.place {
                Place::History => self.history(bytes, tell)?,
                Place::Line => self.line(bytes, tell)?,
            };
        }
        Ok(())
    }

    fn history<'a>(&mut self, bytes: &'a [u8], tell: &mut Tell<'_>) -> Result<&'a [u8], Stop> {
        let end = self.history.take(bytes, tell)?;
        let rest = &bytes[end..];
        if !rest.is_empty() {
            self.place = Place::Line;
        }
        // The line's end is read.
        Ok(rest.get(1..).unwrap_or_default())
    }

    fn line<'a>(&mut self, bytes: &'a [u8], tell: &mut Tell<'_>) -> Result<&'a [u8], Stop> {
        if self.event == Event::History && self.begins_data(bytes) {
            // What of the field's name is not here yet was in the line before.
            let name = b"data:".len() - self.line.len();
            self.line.clear();
            self.has_data = true;
            self.place = Place::History;
            return Ok(&bytes[name..]);
        }
        let end = memchr::memchr(b'\n', bytes);
        let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        if self.line.len() + piece.len() > MOST_CHUNK {
            return Err(Stop::TooLong);
        }
        if end.is_none() {
            self.line.extend_from_slice(piece);
            return Ok(rest);
        }
        if self.line.is_empty() {
            self.field(piece, tell)?;
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(piece);
            let told = self.field(&line, tell);
            line.clear();
            self.line = line;
            told?;
        }
        Ok(&rest[1..])
    }

    /// Whether the open line and what follows begin a field of data.
    fn begins_data(&self, bytes: &[u8]) -> bool {
        let (open, name) = (self.line.len(), b"data:");
        open < name.len() && self.line == name[..open] && bytes.starts_with(&name[open..])
    }

    fn field(&mut self, line: &[u8], tell: &mut Tell<'_>) -> Result<(), Stop> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return self.dispatch(tell);
        }
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
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
                    return Err(Stop::TooLong);
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

    fn dispatch(&mut self, tell: &mut Tell<'_>) -> Result<(), Stop> {
        let event = std::mem::take(&mut self.event);
        let has_data = std::mem::take(&mut self.has_data);
        let told = match event {
            Event::Chunk if has_data => object::read(&self.data, &mut self.scratch, tell),
            Event::History if has_data => {
                if !self.data.is_empty() {
                    // The data stood before its event: it was kept as a whole.
                    self.history.take(&self.data, tell)?;
                }
                self.history.reset();
                tell(LogItem::HistoryEnd)
            }
            Event::Done => tell(LogItem::Done),
            _ => ControlFlow::Continue(()),
        };
        self.data.clear();
        heard(told)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Chunk;
    use super::*;

    const STREAM: &str = "event: history\ndata: {\"chunks\":[{\"seq\":1,\"stream_kind\":0,\
        \"content\":\"a \\\"}]\\\\\",\"ts\":1},{\"seq\":2,\"stream_kind\":1,\"content\":\"b\\n\",\
        \"ts\":null,\"more\":{\"x\":[1]}}]}\n\n:\n\nid: 5\nevent: chunk\n\
        data: {\"seq\":5,\"stream_kind\":2,\"content\":\"cut\",\"ts\":3}\n\n\
        event: other\ndata: {}\n\nevent: chunk\ndata: [\n\nevent: done\ndata: {}\n\n";

    /// What was told, as text.
    fn items(stream: &str, cut: usize) -> Vec<String> {
        let mut parser = LogParser::default();
        let mut items = Vec::new();
        for piece in stream.as_bytes().chunks(cut) {
            let told = parser.take(piece, |item| {
                items.push(shown(&item));
                ControlFlow::<()>::Continue(())
            });
            assert!(told.is_ok());
        }
        items
    }

    fn shown(item: &LogItem<'_>) -> String {
        match item {
            LogItem::Chunk(Chunk { seq, kind, content }) => {
                let text = String::from_utf8_lossy(content);
                format!("{seq} {kind:?} {text}")
            }
            LogItem::Unreadable(_) => "unreadable".into(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_stream_says_the_same_wherever_it_is_cut() {
        for cut in 1..=STREAM.len() {
            let expected = [
                "1 Stdout a \"}]\\",
                "2 Stderr b\n",
                "HistoryEnd",
                "5 Meta cut",
                "unreadable",
                "Done",
            ];
            assert_eq!(items(STREAM, cut), expected, "{cut}");
        }
    }

    #[test]
    fn an_empty_history_and_carriage_returns_are_fine() {
        let stream =
            "event: history\r\ndata: {\"chunks\":[]}\r\n\r\nevent: done\r\ndata: {}\r\n\r\n";
        assert_eq!(items(stream, 3), ["HistoryEnd", "Done"]);
    }

    #[test]
    fn data_may_stand_before_its_event_and_on_several_lines() {
        let stream = "data: {\"chunks\":[{\"seq\":1,\"content\":\"x\"}]}\nevent: history\n\n";
        let expected = ["1 Stdout x", "HistoryEnd"];
        assert_eq!(items(stream, 7), expected);
        let stream = "event: history\ndata: {\"chunks\":[{\"seq\":1,\ndata: \"content\":\"x\"}\n\
                      data: ]}\n\n";
        for cut in 1..=stream.len() {
            assert_eq!(items(stream, cut), expected, "{cut}");
        }
    }

    #[test]
    fn a_string_that_never_ends_is_lost_with_its_line_only() {
        let stream = "event: history\ndata: {\"chunks\":[{\"seq\":1,\"content\":\"x\n\n\
                      event: done\ndata: {}\n\n";
        for cut in 1..=stream.len() {
            assert_eq!(items(stream, cut), ["HistoryEnd", "Done"], "{cut}");
        }
    }

    #[test]
    fn who_has_heard_enough_is_told_no_more() {
        let mut told = 0;
        let left = LogParser::default().take(STREAM.as_bytes(), |item| {
            told += 1;
            match item {
                LogItem::HistoryEnd => ControlFlow::Break("enough"),
                _ => ControlFlow::Continue(()),
            }
        });
        assert_eq!((left, told), (Ok(ControlFlow::Break("enough")), 3));
    }

    #[test]
    fn a_history_of_any_length_needs_no_memory_and_a_chunk_has_a_limit() {
        let mut parser = LogParser::default();
        let mut count = 0;
        let mut take = |parser: &mut LogParser, bytes: &[u8]| {
            let told = parser.take(bytes, |_| {
                count += 1;
                ControlFlow::<()>::Continue(())
            });
            told.map(|_| count)
        };
        let begin = b"event: history\ndata: {\"chunks\":[";
        assert_eq!(take(&mut parser, begin), Ok(0));
        for seq in 1..=1000 {
            let text = "x".repeat(1000);
            let object = format!("{{\"seq\":{seq},\"content\":\"{text}\\n\"}},");
            for piece in object.as_bytes().chunks(700) {
                take(&mut parser, piece).unwrap();
            }
            assert!(parser.history.capacity() + parser.line.capacity() < 8000);
        }
        assert_eq!(take(&mut parser, b"{\"content\":\""), Ok(1000));
        let long = vec![b'x'; MOST_CHUNK];
        assert_eq!(take(&mut parser, &long), Err(TooLong));
    }
}

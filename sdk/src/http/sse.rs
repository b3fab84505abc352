//! Server-sent events (WHATWG HTML, section 9.2).

use std::collections::VecDeque;
use std::time::Duration;

use super::error::{Error, Failure};
use super::response::Response;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerEvent {
    /// The id it came with; none if it had no `id` line of its own.
    pub id: Option<String>,
    /// Its type; `message` if it named none.
    pub event: String,
    /// Its lines, joined.
    pub data: String,
}

/// The events of one response.
#[derive(Debug)]
pub struct ServerEvents {
    response: Response,
    parser: Parser,
}

impl ServerEvents {
    pub(crate) fn new(response: Response, limit: usize) -> Self {
        Self {
            response,
            parser: Parser::new(limit),
        }
    }

    /// Returns the next event; none when the response has ended. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// The connection broke off, was silent for the client's idle time (comments are signs
    /// of life), or an event is over the client's limit.
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, Error> {
        loop {
            if let Some(event) = self.parser.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some(chunk) = self.response.chunk().await? else {
                // What is not ended by an empty line is not an event.
                return Ok(None);
            };
            if self.parser.take(&chunk).is_err() {
                let limit = self.parser.limit;
                return Err(self.response.failed(Failure::TooLong(limit)));
            }
        }
    }

    /// Returns the last id of the stream so far, which stands for all events since it.
    pub fn last_id(&self) -> Option<&str> {
        self.parser.last_id.as_deref()
    }

    /// Returns how long the server asks to wait before connecting again.
    pub(crate) fn reconnection(&self) -> Option<Duration> {
        self.parser.reconnection
    }
}

/// An event, or the line of it, is over the limit.
#[derive(Debug, PartialEq, Eq)]
struct TooLong;

/// Puts events together from chunks that are cut anywhere.
#[derive(Debug)]
struct Parser {
    ready: VecDeque<ServerEvent>,
    last_id: Option<String>,
    reconnection: Option<Duration>,
    line: Vec<u8>,
    /// The chunk before ended in a `\r`, with which a `\n` would belong.
    after_return: bool,
    is_first_line: bool,
    open: Open,
    limit: usize,
}

/// The event that is being put together.
#[derive(Debug, Default)]
struct Open {
    event: ServerEvent,
    has_data: bool,
}

impl Parser {
    fn new(limit: usize) -> Self {
        Self {
            ready: VecDeque::new(),
            last_id: None,
            reconnection: None,
            line: Vec::new(),
            after_return: false,
            is_first_line: true,
            open: Open::default(),
            limit,
        }
    }

    fn take(&mut self, mut chunk: &[u8]) -> Result<(), TooLong> {
        while !chunk.is_empty() {
            if std::mem::take(&mut self.after_return) && chunk[0] == b'\n' {
                chunk = &chunk[1..];
                continue;
            }
            let end = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (piece, rest) = chunk.split_at(end.unwrap_or(chunk.len()));
            if self.line.len() + piece.len() + self.open.event.data.len() > self.limit {
                return Err(TooLong);
            }
            self.line.extend_from_slice(piece);
            let Some(ending) = rest.first() else {
                return Ok(());
            };
            self.after_return = *ending == b'\r';
            chunk = &rest[1..];
            let line = std::mem::take(&mut self.line);
            self.line(&String::from_utf8_lossy(&line));
        }
        Ok(())
    }

    fn line(&mut self, line: &str) {
        // A stream may begin with a byte order mark.
        let line = if std::mem::take(&mut self.is_first_line) {
            line.strip_prefix('\u{feff}').unwrap_or(line)
        } else {
            line
        };
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.open.event.event = value.to_owned(),
            "data" => {
                if std::mem::replace(&mut self.open.has_data, true) {
                    self.open.event.data.push('\n');
                }
                self.open.event.data.push_str(value);
            }
            "id" if !value.contains('\0') => {
                self.open.event.id = Some(value.to_owned());
                self.last_id = Some(value.to_owned());
            }
            "retry" => {
                if let Ok(milliseconds) = value.parse() {
                    self.reconnection = Some(Duration::from_millis(milliseconds));
                }
            }
            // Comments have no name; other fields are for another time.
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let Open {
            mut event,
            has_data,
        } = std::mem::take(&mut self.open);
        if !has_data {
            return;
        }
        if event.event.is_empty() {
            event.event = "message".into();
        }
        self.ready.push_back(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}event: history\ndata: {\"a\":1}\n\n: alive\n\nid: 7\r\nevent:chunk\r\ndata: one\r\n\
         data:two\r\n\r\nretry: 1500\nid\ndata\n\nevent: lost\ndata: no end";

    fn parsed(cut: usize) -> Parser {
        let mut parser = Parser::new(100);
        for chunk in STREAM.as_bytes().chunks(cut) {
            parser.take(chunk).unwrap();
        }
        parser
    }

    #[test]
    fn events_are_the_same_wherever_the_chunks_are_cut() {
        let event = |id: Option<&str>, event: &str, data: &str| ServerEvent {
            id: id.map(Into::into),
            event: event.into(),
            data: data.into(),
        };
        let expected = [
            event(None, "history", "{\"a\":1}"),
            event(Some("7"), "chunk", "one\ntwo"),
            event(Some(""), "message", ""),
        ];
        for cut in 1..=STREAM.len() {
            let parser = parsed(cut);
            assert_eq!(parser.ready, expected, "cut at {cut}");
            assert_eq!(parser.last_id.as_deref(), Some(""));
            assert_eq!(parser.reconnection, Some(Duration::from_millis(1500)));
        }
    }

    #[test]
    fn an_event_without_end_is_not_kept_for_ever() {
        let mut parser = Parser::new(100);
        assert_eq!(parser.take(&[b'x'; 101]), Err(TooLong));
        let mut parser = Parser::new(100);
        let lines = "data: 12345678901234567890\n".repeat(6);
        assert_eq!(parser.take(lines.as_bytes()), Err(TooLong));
    }
}

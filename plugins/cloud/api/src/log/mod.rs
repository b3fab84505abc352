//! Log streams: server-sent events with chunks of output, read as the bytes come.
//!
//! A stream begins with a `history` event that holds all chunks so far, be it a gigabyte:
//! chunks are taken out of it one by one, so that memory is bounded by the largest chunk.
//! A build can print millions of lines, each a chunk: nothing is allocated for one.

use std::ops::ControlFlow;

mod history;
mod object;
mod parser;
mod scan;

pub use parser::LogParser;

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

impl StreamKind {
    fn of(number: i64) -> Self {
        match number {
            1 => Self::Stderr,
            2 => Self::Meta,
            _ => Self::Stdout,
        }
    }
}

/// A piece of output: usually a line with its end, but cut anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Grows along the stream, with gaps.
    pub seq: u64,
    /// Where it was printed.
    pub kind: StreamKind,
    /// The text, as the service sent it: UTF-8, if the service keeps to JSON.
    pub content: &'a [u8],
}

/// What a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogItem<'a> {
    /// A piece of output. Its number may have been there before, on this connection or an
    /// earlier one.
    Chunk(Chunk<'a>),
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

/// Why no more bytes are read.
enum Stop {
    TooLong,
    /// Whoever is told has heard enough.
    Heard,
}

/// Who is told. Not a type parameter: this is to be compiled here, where it is made fast.
type Tell<'a> = dyn FnMut(LogItem<'_>) -> ControlFlow<()> + 'a;

/// Goes on, unless whoever was told has heard enough.
fn heard(told: ControlFlow<()>) -> Result<(), Stop> {
    match told {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Stop::Heard),
    }
}

//! Chunks, cut anywhere, to whole lines.

use std::collections::HashMap;

use bytes::Bytes;
use bytestring::ByteString;
use hm_plugin_protocol::{LogStream, StepId};

use super::clean;

/// A line longer than this goes on in pieces (decisions, "Text and JSON").
const LINE_MAX: usize = 16 << 20;
/// All lines that are being put together, at one time.
const HELD_MAX: usize = 64 << 20;

/// Lines that are not complete yet, by step and channel.
#[derive(Default)]
pub(super) struct Assembler {
    open: HashMap<(StepId, LogStream), Vec<u8>>,
    held: usize,
}

/// Clean text, ready to be shown.
pub(super) struct Piece {
    /// Lines, each ended by `\n`.
    pub(super) text: ByteString,
    /// The last line goes on in the next piece of this channel.
    pub(super) is_partial: bool,
}

impl Assembler {
    /// Takes a chunk and returns the lines that it completes.
    pub(super) fn push(&mut self, step: StepId, stream: LogStream, chunk: &Bytes) -> Option<Piece> {
        let open = self.open.entry((step, stream)).or_default();
        let Some(end) = memchr::memrchr(b'\n', chunk) else {
            open.extend_from_slice(chunk);
            self.held += chunk.len();
            let is_too_long = open.len() >= LINE_MAX || self.held >= HELD_MAX;
            return is_too_long.then(|| self.piece(step, stream)).flatten();
        };
        let text = if open.is_empty() {
            clean::lines(chunk.slice(..=end))
        } else {
            let mut text = String::with_capacity(open.len() + end + 2);
            // Only the first line needs what was kept; the rest is not copied twice.
            let first = memchr::memchr(b'\n', chunk).unwrap_or(end);
            self.held -= open.len();
            open.extend_from_slice(&chunk[..=first]);
            clean::push_lines(open, &mut text);
            open.clear();
            clean::push_lines(&chunk[first + 1..=end], &mut text);
            text.into()
        };
        if open.capacity() > 64 << 10 {
            *open = Vec::new();
        }
        open.extend_from_slice(&chunk[end + 1..]);
        self.held += open.len();
        Some(Piece {
            text,
            is_partial: false,
        })
    }

    /// Ends a channel: what has no line end is a line all the same.
    pub(super) fn finish(&mut self, step: StepId, stream: LogStream) -> Option<Piece> {
        let open = self.open.remove(&(step, stream))?;
        self.held -= open.len();
        if open.is_empty() {
            return None;
        }
        let mut text = String::with_capacity(open.len() + 1);
        clean::push_lines(&open, &mut text);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Some(Piece {
            text: text.into(),
            is_partial: false,
        })
    }

    /// Takes what is there of a line that is too long, up to a character's border.
    fn piece(&mut self, step: StepId, stream: LogStream) -> Option<Piece> {
        let open = self.open.get_mut(&(step, stream))?;
        let border = open.len() - incomplete_tail(open);
        let rest = open.split_off(border);
        let line = std::mem::replace(open, rest);
        self.held -= line.len();
        let mut text = String::with_capacity(line.len() + 1);
        clean::push_lines(&line, &mut text);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Some(Piece {
            text: text.into(),
            is_partial: true,
        })
    }
}

/// Returns how many bytes at the end may be the start of a character that is not whole.
fn incomplete_tail(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    for (back, &byte) in tail.iter().rev().enumerate() {
        let needed = match byte {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            0x80..=0xbf => continue,
            _ => return 0,
        };
        return if back + 1 < needed { back + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: LogStream = LogStream::Stdout;

    #[test]
    fn chunk_borders_break_neither_lines_nor_characters() {
        let whole = "first ä line\nsecond\nlast without end".as_bytes();
        for size in 1..whole.len() {
            let mut lines = Assembler::default();
            let mut text = String::new();
            for chunk in whole.chunks(size) {
                let piece = lines.push(0, OUT, &Bytes::copy_from_slice(chunk));
                text.extend(piece.map(|p| String::from(p.text)));
            }
            text.extend(lines.finish(0, OUT).map(|p| String::from(p.text)));
            assert_eq!(
                text, "first ä line\nsecond\nlast without end\n",
                "chunks of {size}"
            );
        }
    }

    #[test]
    fn channels_and_steps_do_not_mix() {
        let mut lines = Assembler::default();
        assert!(lines.push(0, OUT, &Bytes::from_static(b"a")).is_none());
        assert!(lines.push(1, OUT, &Bytes::from_static(b"b")).is_none());
        assert!(
            lines
                .push(0, LogStream::Stderr, &Bytes::from_static(b"c"))
                .is_none()
        );
        assert_eq!(
            lines
                .push(0, OUT, &Bytes::from_static(b"A\n"))
                .unwrap()
                .text,
            "aA\n"
        );
        assert_eq!(lines.finish(1, OUT).unwrap().text, "b\n");
        assert_eq!(lines.finish(0, LogStream::Stderr).unwrap().text, "c\n");
    }

    #[test]
    fn a_line_over_the_limit_goes_on_in_pieces_of_whole_characters() {
        let mut lines = Assembler::default();
        let chunk = Bytes::from("ä".repeat(1 << 19)).slice(..(1 << 20) - 1);
        let mut text = String::new();
        let mut partial = 0;
        for _ in 0..17 {
            if let Some(piece) = lines.push(0, OUT, &chunk) {
                assert!(piece.is_partial);
                partial += 1;
                text.push_str(piece.text.trim_end_matches('\n'));
            }
        }
        assert_eq!(partial, 1);
        assert!(text.len() >= LINE_MAX - 2);
        assert!(lines.held < 3 << 20);
    }
}

//! A terminal with lines that stay and, below them, a frame that is drawn over.
//!
//! The frame's lines never wrap, and the cursor waits at the end of the last one;
//! so the way back to its top is known. What stays is written where the frame was.

use std::io::{self, Write};

use crate::buffer::Buffer;
use crate::renderer::Size;
use crate::text::line::Line;

/// Terminals that know it show what is between these at once; others ignore it.
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";
const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
/// Without wrapping, a sign that a terminal draws wider than we think costs its last
/// column, not the place of every later line.
const WRAP_OFF: &str = "\x1b[?7l";
const WRAP_ON: &str = "\x1b[?7h";
const ERASE_BELOW: &str = "\x1b[J";
const ERASE_TO_RIGHT: &str = "\x1b[K";

/// Where a live view is drawn.
#[derive(Debug)]
pub(crate) struct Screen<W: Write> {
    buffer: Buffer<W>,
    size: Size,
    /// Columns of each line of the frame that stands on the terminal.
    frame: Vec<usize>,
    is_cursor_hidden: bool,
}

impl<W: Write> Screen<W> {
    pub(crate) fn new(out: W, size: Size) -> Self {
        Self {
            buffer: Buffer::new(out),
            size: size.known(),
            frame: Vec::new(),
            is_cursor_hidden: false,
        }
    }

    /// Returns the size, with the unknown filled in.
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// Takes a new size.
    pub(crate) fn resize(&mut self, size: Size) {
        self.size = size.known();
    }

    /// Adds text that stays. It ends with a line end, or more of it follows.
    pub(crate) fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.erase();
        self.buffer.bytes().extend_from_slice(text);
        self.buffer.spill()
    }

    /// Adds a line that stays.
    pub(crate) fn line(&mut self, line: Line) -> io::Result<()> {
        let mut text = line.finish();
        text.push('\n');
        self.write(text.as_bytes())
    }

    /// Writes what stays, and draws `lines` below it. One write, unless much stays.
    pub(crate) fn show(&mut self, lines: Vec<Line>) -> io::Result<()> {
        let mut text = String::from(BEGIN);
        if !self.is_cursor_hidden {
            text += HIDE_CURSOR;
            self.is_cursor_hidden = true;
        }
        text += WRAP_OFF;
        text += &self.way_to_top();
        self.frame.clear();
        for (number, line) in lines.into_iter().enumerate() {
            if number > 0 {
                text += "\r\n";
            }
            self.frame.push(line.width());
            text += &line.finish();
            text += ERASE_TO_RIGHT;
        }
        text += ERASE_BELOW;
        text += WRAP_ON;
        text += END;
        self.buffer.bytes().extend_from_slice(text.as_bytes());
        self.buffer.flush()
    }

    /// Writes what stays.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.buffer.flush()
    }

    /// Takes the frame away and leaves the terminal as it was found.
    pub(crate) fn restore(&mut self) -> io::Result<()> {
        self.erase();
        if self.is_cursor_hidden {
            self.is_cursor_hidden = false;
            self.buffer
                .bytes()
                .extend_from_slice(SHOW_CURSOR.as_bytes());
        }
        self.buffer.flush()
    }

    fn erase(&mut self) {
        if self.frame.is_empty() {
            return;
        }
        let top = self.way_to_top();
        self.frame.clear();
        let out = self.buffer.bytes();
        out.extend_from_slice(top.as_bytes());
        out.extend_from_slice(ERASE_BELOW.as_bytes());
    }

    /// Returns the way from the end of the frame to its first column. A terminal that
    /// became narrower has wrapped the lines that it showed.
    fn way_to_top(&self) -> String {
        let columns = usize::from(self.size.columns);
        let rows: usize = self
            .frame
            .iter()
            .map(|width| width.div_ceil(columns).max(1))
            .sum();
        match rows.min(usize::from(self.size.rows)) {
            0 => String::new(),
            1 => "\r".into(),
            rows => format!("\r\x1b[{}A", rows - 1),
        }
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        if self.is_cursor_hidden {
            // The writer may be what failed; then nobody is left to be told.
            let _ = self.restore();
        }
    }
}

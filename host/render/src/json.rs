//! One JSON object a line, as `events.schema.json` of the protocol describes it.

use std::io::{self, Write};

use hm_plugin_protocol::{BuildEvent, BuildOutcome};
use jiff::Timestamp;

use crate::buffer::Buffer;
use crate::renderer::{Renderer, Size};

/// Events as JSON lines.
#[derive(Debug)]
pub struct Json<W> {
    buffer: Buffer<W>,
}

impl<W: Write + Send> Json<W> {
    /// Makes a renderer that writes to `out`, with large writes of its own.
    pub fn new(out: W) -> Self {
        Self {
            buffer: Buffer::new(out),
        }
    }
}

impl<W: Write + Send> Renderer for Json<W> {
    fn event(&mut self, event: &BuildEvent) -> io::Result<()> {
        event.write_json_lines(self.buffer.bytes());
        self.buffer.spill()
    }

    fn tick(&mut self, _now: Timestamp, _size: Size) -> io::Result<()> {
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.buffer.flush()
    }

    fn finish(&mut self, _outcome: Option<&BuildOutcome>) -> io::Result<()> {
        self.flush()
    }
}

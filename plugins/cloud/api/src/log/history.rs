//! The data of a history, read as it comes.

use super::{LogItem, MOST_CHUNK, Stop, Tell, heard, object, scan};

/// Takes the objects out of `{"chunks":[…]}`: those two levels below.
#[derive(Debug, Default)]
pub(super) struct History {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// What is here of an object that is not whole.
    object: Vec<u8>,
    scratch: Vec<u8>,
}

/// The depth of the list's own brackets.
const LIST: usize = 2;

impl History {
    /// Takes bytes up to the end of the line, which ends the data. Returns how many there
    /// were before it; all of them if it does not end.
    pub(super) fn take(&mut self, bytes: &[u8], tell: &mut Tell<'_>) -> Result<usize, Stop> {
        // Since when bytes belong to an open object.
        let mut start = (self.depth > LIST).then_some(0);
        let mut at = 0;
        while let Some(byte) = bytes.get(at)
            && *byte != b'\n'
        {
            if self.in_string {
                at += self.string(&bytes[at..]);
                continue;
            }
            if *byte == b'{'
                && self.depth == LIST
                && let Some((chunk, len)) = object::usual(&bytes[at..], &mut self.scratch)
            {
                heard(tell(LogItem::Chunk(chunk)))?;
                at += len;
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
                        self.object(&bytes[from..=at], tell)?;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        if let Some(from) = start {
            if self.object.len() + at - from > MOST_CHUNK {
                return Err(Stop::TooLong);
            }
            self.object.extend_from_slice(&bytes[from..at]);
        }
        Ok(at)
    }

    /// Goes on in a string, as far as something happens; returns how many bytes that were.
    fn string(&mut self, bytes: &[u8]) -> usize {
        if std::mem::take(&mut self.is_escaped) {
            return 1;
        }
        let Some(at) = scan::special(bytes) else {
            return bytes.len();
        };
        match bytes[at] {
            b'\\' => self.is_escaped = true,
            b'"' => self.in_string = false,
            // The end of the line is for others to see.
            b'\n' => return at,
            _ => {}
        }
        at + 1
    }

    /// Tells an object whose last bytes have come.
    fn object(&mut self, piece: &[u8], tell: &mut Tell<'_>) -> Result<(), Stop> {
        if self.object.is_empty() {
            return heard(object::read(piece, &mut self.scratch, tell));
        }
        self.object.extend_from_slice(piece);
        let told = object::read(&self.object, &mut self.scratch, tell);
        self.object.clear();
        heard(told)
    }

    /// Begins anew.
    pub(super) fn reset(&mut self) {
        self.object.clear();
        (self.depth, self.in_string, self.is_escaped) = (0, false, false);
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.object.capacity() + self.scratch.capacity()
    }
}

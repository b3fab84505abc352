//! The text of a document and the places in it.

use std::fmt;
use std::io::Read;
use std::path::Path;

use crate::error::PipelineError;
use crate::problem::Problem;
use crate::text::plain;

/// Longest document that is read, in bytes. 20,000 steps take about 4 MB.
const LONGEST_DOCUMENT: u64 = 256 * 1024 * 1024;

/// A document's text with the name under which problems in it are reported.
#[derive(Debug, Clone)]
pub struct Source {
    name: String,
    text: String,
    /// Byte offset at which each line starts; empty where the text is not one that
    /// the user could open.
    lines: Vec<usize>,
    /// Characters before each [`BLOCK`] of bytes: a rendered document is one long
    /// line, and counting it anew for each place would be quadratic.
    characters: Vec<usize>,
}

/// Bytes between two entries of [`Source::characters`].
const BLOCK: usize = 1024;

impl Source {
    /// Takes a text that the user has before their eyes.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let breaks = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let lines = std::iter::once(0)
            .chain(breaks.map(|(at, _)| at + 1))
            .collect();
        let mut characters = vec![0];
        for block in text.as_bytes().chunks(BLOCK) {
            characters.push(characters[characters.len() - 1] + starts(block));
        }
        Self {
            name: name.into(),
            text,
            lines,
            characters,
        }
    }

    /// Takes a text that a program made from the file `name`: places in it have a
    /// field path, but no line.
    pub fn generated(name: impl Into<String>, text: impl Into<String>) -> Self {
        let (lines, characters) = (Vec::new(), Vec::new());
        Self {
            name: name.into(),
            text: text.into(),
            lines,
            characters,
        }
    }

    /// Takes bytes, which must be UTF-8.
    ///
    /// # Errors
    /// `Invalid`, with the place of the first byte that is not UTF-8.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, PipelineError> {
        let name = name.into();
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let byte = error.as_bytes()[valid];
                let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
                let source = Self::new(name, before);
                let problem = Problem::at(
                    source.place("", valid),
                    format!("the byte 0x{byte:02x} is not UTF-8 text"),
                )
                .hint("save the file as UTF-8");
                Err(PipelineError::invalid(source.name(), None, vec![problem]))
            }
        }
    }

    /// Reads the file at `path`; problems name it `name`.
    ///
    /// # Errors
    /// `Usage` if it cannot be read or is over 256 MiB, `Invalid` if it is not UTF-8.
    pub fn read(path: &Path, name: impl Into<String>) -> Result<Self, PipelineError> {
        let name = name.into();
        let read = || {
            let mut bytes = Vec::new();
            std::fs::File::open(path)?
                .take(LONGEST_DOCUMENT + 1)
                .read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes: Vec<u8> = read().map_err(|error: std::io::Error| {
            PipelineError::io(
                format!("cannot read the pipeline file {}", plain(&name)),
                error,
            )
        })?;
        if bytes.len() as u64 > LONGEST_DOCUMENT {
            return Err(PipelineError::usage(format!(
                "the pipeline file {} is over {} MiB",
                plain(&name),
                LONGEST_DOCUMENT >> 20
            )));
        }
        Self::from_bytes(name, bytes)
    }

    /// Returns the name under which problems are reported.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the place of `field` at a byte `offset`.
    pub fn place(&self, field: impl Into<String>, offset: usize) -> Place {
        Place {
            field: field.into(),
            file: self.name.clone(),
            position: self.position(offset),
        }
    }

    /// Returns the place of `field` without a line.
    pub fn field(&self, field: impl Into<String>) -> Place {
        Place {
            field: field.into(),
            file: self.name.clone(),
            position: None,
        }
    }

    fn position(&self, offset: usize) -> Option<Position> {
        let end = self.text.floor_char_boundary(offset.min(self.text.len()));
        let line = self
            .lines
            .partition_point(|&start| start <= end)
            .checked_sub(1)?;
        let column = self.characters_before(end) - self.characters_before(self.lines[line]) + 1;
        Some(Position {
            line: line + 1,
            column,
        })
    }

    fn characters_before(&self, offset: usize) -> usize {
        let block = offset / BLOCK;
        self.characters[block] + starts(&self.text.as_bytes()[block * BLOCK..offset])
    }

    /// Returns the byte offset of a 1-based line and a 1-based column in bytes.
    pub(crate) fn offset(&self, line: usize, column: usize) -> usize {
        let start = self
            .lines
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(self.text.len());
        self.text
            .floor_char_boundary((start + column.saturating_sub(1)).min(self.text.len()))
    }
}

/// Counts the characters that start in `bytes` of UTF-8.
fn starts(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count()
}

/// Where in a text, both counted from 1; the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// A place in a document, written `FIELD at FILE:LINE:COLUMN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Field path, as `graph.nodes[1].step.cmd`; empty for the document itself.
    pub field: String,
    /// The file as the user knows it.
    pub file: String,
    /// None where the document is not the text that the user wrote.
    pub position: Option<Position>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = plain(&self.file);
        match (self.field.is_empty(), self.position) {
            (true, None) => write!(f, "{file}"),
            (true, Some(Position { line, column })) => write!(f, "{file}:{line}:{column}"),
            (false, None) => write!(f, "{} in {file}", self.field),
            (false, Some(Position { line, column })) => {
                write!(f, "{} at {file}:{line}:{column}", self.field)
            }
        }
    }
}

//! What every format is to the program that feeds it.

use std::io;
use std::path::PathBuf;

use hm_plugin_protocol::{BuildEvent, BuildOutcome};
use jiff::Timestamp;

/// A format that shows one build, from its first event to its end.
///
/// Calls never overlap. Writes are collected: nothing need have reached the writer
/// before [`flush`](Self::flush), [`tick`](Self::tick) or [`finish`](Self::finish)
/// returns. After an error the renderer is of no more use; dropping it leaves the
/// terminal as it was found.
pub trait Renderer: Send {
    /// Takes the next event.
    ///
    /// # Errors
    /// The writer's own, as it is.
    fn event(&mut self, event: &BuildEvent) -> io::Result<()>;

    /// Says what time it is and how large the terminal is; call it every 100 ms or
    /// so. Only [`Human`](crate::Human) draws on it; the others write what they hold.
    ///
    /// # Errors
    /// The writer's own, as it is.
    fn tick(&mut self, now: Timestamp, size: Size) -> io::Result<()>;

    /// Writes what is held back; call it when no event is waiting.
    ///
    /// # Errors
    /// The writer's own, as it is.
    fn flush(&mut self) -> io::Result<()>;

    /// Ends the view. `outcome` is missing where the build ended by an error, which
    /// the caller prints itself.
    ///
    /// # Errors
    /// The writer's own, as it is.
    fn finish(&mut self, outcome: Option<&BuildOutcome>) -> io::Result<()>;
}

/// How large a terminal is, in character cells; 0 stands for unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Cells in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

impl Size {
    /// What is assumed where a terminal does not say.
    pub const DEFAULT: Self = Self {
        columns: 80,
        rows: 24,
    };

    /// Returns the size with the unknown filled in.
    #[must_use]
    pub fn known(self) -> Self {
        Self {
            columns: if self.columns == 0 {
                Self::DEFAULT.columns
            } else {
                self.columns
            },
            rows: if self.rows == 0 {
                Self::DEFAULT.rows
            } else {
                self.rows
            },
        }
    }
}

/// How much a person wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// Only what went wrong, and the verdict (`-q`).
    Quiet,
    /// Live state, logs of failed steps, the summary.
    #[default]
    Normal,
    /// The log of every step too (`-v`).
    Verbose,
}

/// How text may look. All of it is decided by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Colours may be written; without them no escape of a machine's output passes either.
    pub color: bool,
    /// Signs beyond ASCII may be written.
    pub unicode: bool,
    /// The writer is a terminal, and not a dumb one: the cursor may be moved.
    pub interactive: bool,
    /// Of the terminal, at the start.
    pub size: Size,
    /// How much to show.
    pub detail: Detail,
    /// The backend's name, for results that it reported and the host did not see.
    pub backend: String,
    /// The command that runs this again, as a person would type it: `hm run ci`.
    pub command: String,
    /// The build goes on past failures as it is: no flag for it is offered.
    pub goes_on: bool,
    /// The command that watches a build which was left to run, but for its pipeline and
    /// number: `hm cloud build watch`. None where there is no such command.
    pub watch: Option<String>,
    /// Where logs too long for memory wait, in files without a name.
    pub spill_dir: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            color: false,
            unicode: true,
            interactive: false,
            size: Size::DEFAULT,
            detail: Detail::Normal,
            backend: "local".into(),
            command: "hm run".into(),
            goes_on: false,
            watch: None,
            spill_dir: "/tmp".into(),
        }
    }
}

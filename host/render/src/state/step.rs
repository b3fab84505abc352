//! One step, as far as its events have told.

use std::borrow::Cow;
use std::collections::VecDeque;

use hm_plugin_protocol::{Step, StepId, StepStatus};
use jiff::Timestamp;

use crate::clean_line;
use crate::text::sgr;

/// How many of a step's last lines are remembered for the verdict.
const TAIL_LINES: usize = 3;

/// How much of one line is remembered: more than any terminal is wide.
const TAIL_BYTES: usize = 512;

/// Where a step is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was heard of it.
    Waiting,
    /// The backend will see to it.
    Queued,
    /// Its command runs.
    Running,
    /// It is over.
    Ended(StepStatus),
}

/// What is known of a step. All text is clean and of one line.
#[derive(Debug)]
pub struct StepState {
    /// The plan's key.
    pub key: String,
    /// The label or the start of the command, where the key does not say the same.
    pub title: Option<String>,
    /// Its `builds_in` parent.
    pub parent: Option<StepId>,
    /// Where it is.
    pub phase: Phase,
    /// What runs it.
    pub runner: Option<String>,
    /// When its command started.
    pub started: Option<Timestamp>,
    /// Of its command; see the protocol for what stands for signals and timeouts.
    pub exit_code: Option<i32>,
    /// Wall time from start to end.
    pub duration_ms: u64,
    /// Why it ended so, where the status alone does not say it.
    pub reason: Option<String>,
    /// True if the host itself saw the command end.
    pub observed: bool,
    /// Lines of output.
    pub lines: u64,
    /// Notices about it.
    pub notices: u32,
    tail: VecDeque<String>,
}

impl StepState {
    pub(super) fn new(step: &Step) -> Self {
        let key = match clean_line(&step.key) {
            key if key.is_empty() => "\"\"".to_owned(),
            key => key.into_owned(),
        };
        let title = clean_line(&step.display_name()).trim().to_owned();
        let title = (!title.is_empty() && letters(&title) != letters(&key)).then_some(title);
        Self {
            key,
            title,
            parent: None,
            phase: Phase::Waiting,
            runner: None,
            started: None,
            exit_code: None,
            duration_ms: 0,
            reason: None,
            observed: false,
            lines: 0,
            notices: 0,
            tail: VecDeque::new(),
        }
    }

    /// Returns how the step ended, once it has.
    pub fn status(&self) -> Option<StepStatus> {
        match self.phase {
            Phase::Ended(status) => Some(status),
            _ => None,
        }
    }

    /// Returns the last line that was not blank, without colours.
    pub fn last_line(&self) -> Option<Cow<'_, str>> {
        self.tail().next_back()
    }

    /// Returns the last few lines that were not blank, without colours.
    pub fn tail(&self) -> impl DoubleEndedIterator<Item = Cow<'_, str>> {
        self.tail.iter().map(|line| match sgr::stripped(line) {
            Cow::Borrowed(line) => clean_line(line),
            Cow::Owned(line) => clean_line(&line).into_owned().into(),
        })
    }

    /// Remembers the last lines of `text`, looking at no more of it than that takes.
    pub(super) fn remember(&mut self, text: &str) {
        let mut found: [&str; TAIL_LINES] = [""; TAIL_LINES];
        let mut number = 0;
        // Blank lines are passed over, but not without end.
        for line in text
            .trim_end_matches('\n')
            .rsplit('\n')
            .take(4 * TAIL_LINES)
        {
            let shown = last_segment(line);
            if shown.trim().is_empty() {
                continue;
            }
            found[number] = shown;
            number += 1;
            if number == TAIL_LINES {
                break;
            }
        }
        for line in found[..number].iter().rev() {
            let mut kept = match self.tail.len() {
                TAIL_LINES => self.tail.pop_front().unwrap_or_default(),
                _ => String::new(),
            };
            kept.clear();
            kept.push_str(&line[..line.floor_char_boundary(TAIL_BYTES)]);
            self.tail.push_back(kept);
        }
    }
}

/// Returns what a terminal would show of a line with carriage returns: what follows
/// the last one that something follows.
pub fn last_segment(line: &str) -> &str {
    let line = line.trim_end_matches('\r');
    line.rfind('\r').map_or(line, |at| &line[at + 1..])
}

/// Returns the letters and digits of a name, for comparing.
fn letters(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_shows_the_last_segment() {
        assert_eq!(last_segment("10%\r50%\r100%"), "100%");
        assert_eq!(last_segment("50%\r"), "50%");
        assert_eq!(last_segment("plain"), "plain");
    }
}

//! The logs of running steps, kept until it is known whether a person needs them.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use hm_plugin_protocol::{LogLines, LogStream, StepId};
use memchr::{memchr, memchr_iter};

use super::spill::{Extent, SLOT, Spill};
use crate::pieces::{BREAK, Lead, Pieces};
use crate::state::last_segment;
use crate::text::sgr;

/// What all logs together may take of memory; beyond it, all go to the file.
const IN_MEMORY: usize = 16 * 1024 * 1024;

/// The logs of all steps that have not ended.
#[derive(Debug)]
pub(super) struct Logs {
    logs: HashMap<StepId, Log>,
    spill: Spill,
    /// Bytes of all logs that are in memory.
    in_memory: usize,
    color: bool,
}

/// Both channels of one step in the order of their arrival, as a terminal shows them.
#[derive(Debug)]
struct Log {
    spilled: Vec<Extent>,
    /// What follows on that.
    memory: Vec<u8>,
    pieces: Pieces<LogStream>,
    /// Lines that could be kept nowhere, and why.
    lost: Option<(usize, io::Error)>,
}

impl Logs {
    /// Makes the keeper of logs; what does not fit in memory goes to a file in `dir`.
    pub(super) fn new(color: bool, dir: PathBuf) -> Self {
        Self {
            logs: HashMap::new(),
            spill: Spill::new(dir),
            in_memory: 0,
            color,
        }
    }

    /// Keeps a batch.
    pub(super) fn push(&mut self, lines: &LogLines) {
        let log = self.logs.entry(lines.step).or_insert_with(Log::new);
        let before = log.memory.len();
        log.push(lines, self.color);
        self.in_memory += log.memory.len();
        self.in_memory -= before;
        if log.memory.len() > SLOT {
            self.in_memory -= log.memory.len();
            log.spill(&mut self.spill);
        }
        if self.in_memory > IN_MEMORY {
            self.logs
                .values_mut()
                .for_each(|log| log.spill(&mut self.spill));
            self.in_memory = 0;
        }
    }

    /// Returns true if there is nothing of `step`.
    pub(super) fn is_empty(&self, step: StepId) -> bool {
        !self.logs.contains_key(&step)
    }

    /// Forgets the log of `step`.
    pub(super) fn forget(&mut self, step: StepId) {
        if let Some(log) = self.logs.remove(&step) {
            self.in_memory -= log.memory.len();
            log.spilled
                .into_iter()
                .for_each(|extent| self.spill.give_back(extent));
        }
    }

    /// Hands the whole log of `step` to `write`, in pieces, and forgets it.
    pub(super) fn read_out(
        &mut self,
        step: StepId,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let result = match self.logs.get(&step) {
            Some(log) => log.read_out(&self.spill, &mut write),
            None => Ok(()),
        };
        self.forget(step);
        result
    }
}

impl Log {
    fn new() -> Self {
        Self {
            spilled: Vec::new(),
            memory: Vec::new(),
            pieces: Pieces::new(),
            lost: None,
        }
    }

    fn push(&mut self, lines: &LogLines, color: bool) {
        if self.pieces.interrupt(Some(lines.stream)) {
            self.memory.extend_from_slice(BREAK.as_bytes());
            self.memory.push(b'\n');
        }
        if self.pieces.follow(lines.stream, lines.partial) == Lead::Resumes {
            self.memory.extend_from_slice(BREAK.as_bytes());
        }
        let text = lines.text();
        let strip = !color && memchr(0x1b, text.as_bytes()).is_some();
        if strip || memchr(b'\r', text.as_bytes()).is_some() {
            for line in lines.lines() {
                let shown = last_segment(line).as_bytes();
                if strip {
                    sgr::strip(shown, &mut self.memory);
                } else {
                    self.memory.extend_from_slice(shown);
                }
                self.memory.push(b'\n');
            }
        } else {
            self.memory.extend_from_slice(text.as_bytes());
        }
        if lines.partial {
            self.memory.pop();
        }
    }

    fn spill(&mut self, spill: &mut Spill) {
        for piece in self.memory.chunks(SLOT) {
            match spill.write(piece) {
                Ok(extent) => self.spilled.push(extent),
                Err(error) => {
                    let (lines, _) = self.lost.get_or_insert((0, error));
                    *lines += memchr_iter(b'\n', piece).count();
                }
            }
        }
        self.memory.clear();
        self.memory.shrink_to(SLOT);
    }

    fn read_out(
        &self,
        spill: &Spill,
        write: &mut impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut piece = Vec::new();
        for extent in &self.spilled {
            match spill.read(extent, &mut piece) {
                Ok(()) => write(&piece)?,
                Err(error) => write(missing(&error).as_bytes())?,
            }
        }
        if let Some((lines, error)) = &self.lost {
            write(format!("({lines} of its lines are missing: {error})\n").as_bytes())?;
        }
        write(&self.memory)?;
        let is_open = self
            .memory
            .last()
            .or(piece.last())
            .is_some_and(|&byte| byte != b'\n');
        if is_open {
            write(format!("{BREAK}\n").as_bytes())
        } else {
            Ok(())
        }
    }
}

fn missing(error: &io::Error) -> String {
    format!("(some of its output is missing here: {error})\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use uuid::Uuid;

    fn batch(step: StepId, text: String) -> LogLines {
        LogLines::new(
            Uuid::nil(),
            step,
            LogStream::Stdout,
            Timestamp::UNIX_EPOCH,
            text,
        )
    }

    fn read(logs: &mut Logs, step: StepId) -> String {
        let mut out = Vec::new();
        logs.read_out(step, |piece| {
            out.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn many_long_logs_keep_little_in_memory_and_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut logs = Logs::new(true, dir.path().into());
        let line = |step: StepId, number: usize| format!("{step} {number:0500}\n");
        for number in 0..100 {
            for step in 0..500 {
                logs.push(&batch(step, line(step, number)));
                assert!(logs.in_memory <= IN_MEMORY);
            }
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        for step in 0..500 {
            let all: String = (0..100).map(|number| line(step, number)).collect();
            assert!(read(&mut logs, step) == all, "step {step}");
        }
        assert_eq!(logs.in_memory, 0);
    }

    #[test]
    fn slots_are_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut logs = Logs::new(true, dir.path().into());
        for round in 0..20 {
            let text = format!("{round:099}\n").repeat(20_000);
            logs.push(&batch(1, text.clone()));
            assert!(read(&mut logs, 1) == text);
        }
        assert_eq!(logs.spill.free.len(), 8);
    }

    #[test]
    fn what_could_not_be_kept_is_told() {
        let mut logs = Logs::new(true, "/nowhere/at/all".into());
        logs.push(&batch(0, "x\n".repeat(SLOT)));
        logs.push(&batch(0, "last\n".into()));
        let text = read(&mut logs, 0);
        assert!(
            text.starts_with("(262144 of its lines are missing:"),
            "{text}"
        );
        assert!(text.ends_with("last\n"), "{text}");
    }
}

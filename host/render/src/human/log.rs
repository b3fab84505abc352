//! The log of a running step, kept until it is known whether a person needs it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use hm_plugin_protocol::{LogLines, LogStream};
use memchr::{memchr, memchr_iter};

use crate::pieces::{BREAK, Lead, Pieces};
use crate::state::last_segment;
use crate::text::sgr;

/// What one log may take of memory; the rest waits in a file. With 64 steps at once
/// this is 16 MiB.
const IN_MEMORY: usize = 256 * 1024;

/// Both channels of one step in the order of their arrival, as a terminal shows them.
#[derive(Debug)]
pub(crate) struct Log {
    /// What follows on the file's content.
    memory: Vec<u8>,
    /// Without a name: gone with this process, however it ends.
    file: Option<File>,
    pieces: Pieces<LogStream>,
    /// Lines that could be kept nowhere, and why.
    lost: Option<(u64, io::Error)>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            memory: Vec::new(),
            file: None,
            pieces: Pieces::new(),
            lost: None,
        }
    }

    /// Returns true if nothing was printed.
    pub(crate) fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.file.is_none() && self.lost.is_none()
    }

    /// Keeps a batch; what does not fit in memory goes to a file in `spill_dir`.
    pub(crate) fn push(&mut self, lines: &LogLines, color: bool, spill_dir: &Path) {
        if self.pieces.interrupt(Some(lines.stream)) {
            self.break_line();
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
        if self.memory.len() > IN_MEMORY {
            self.spill(spill_dir);
        }
    }

    fn break_line(&mut self) {
        self.memory.extend_from_slice(BREAK.as_bytes());
        self.memory.push(b'\n');
    }

    fn spill(&mut self, spill_dir: &Path) {
        if let Err(error) = self.write_out(spill_dir) {
            let count = memchr_iter(b'\n', &self.memory).count() as u64;
            let (lost, _) = self.lost.get_or_insert((0, error));
            *lost += count;
        }
        self.memory.clear();
        self.memory.shrink_to(2 * IN_MEMORY);
    }

    fn write_out(&mut self, spill_dir: &Path) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(spill_dir)?);
        }
        match &mut self.file {
            Some(file) => file.write_all(&self.memory),
            None => Ok(()),
        }
    }

    /// Hands the whole log to `write`, in pieces; the last one ends with a line end.
    pub(crate) fn read_out(
        mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.pieces.interrupt(None) {
            self.break_line();
        }
        if let Some(file) = &mut self.file
            && let Err(error) = copy(file, &mut write)?
        {
            self.lost.get_or_insert((0, error));
        }
        if let Some((lines, error)) = &self.lost {
            let text = format!("(some output is missing here, {lines} lines or more: {error})\n");
            write(text.as_bytes())?;
        }
        write(&self.memory)
    }
}

/// Copies the file; the outer error is the writer's, the inner one the file's.
fn copy(
    file: &mut File,
    write: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<io::Result<()>> {
    if let Err(error) = file.seek(SeekFrom::Start(0)) {
        return Ok(Err(error));
    }
    let mut piece = vec![0; 64 * 1024];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(Ok(())),
            Ok(len) => write(&piece[..len])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use uuid::Uuid;

    fn batch(text: String) -> LogLines {
        LogLines::new(
            Uuid::nil(),
            0,
            LogStream::Stdout,
            Timestamp::UNIX_EPOCH,
            text,
        )
    }

    fn read(log: Log) -> Vec<u8> {
        let mut out = Vec::new();
        log.read_out(|piece| out.write_all(piece)).unwrap();
        out
    }

    #[test]
    fn a_long_log_keeps_little_in_memory_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::new();
        let mut all = String::new();
        for number in 0..20_000 {
            let text = format!("{number:090}\n");
            all += &text;
            log.push(&batch(text), true, dir.path());
            assert!(log.memory.capacity() <= 4 * IN_MEMORY);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(read(log) == all.as_bytes());
    }

    #[test]
    fn what_could_not_be_kept_is_told() {
        let mut log = Log::new();
        log.push(
            &batch("x\n".repeat(IN_MEMORY)),
            true,
            Path::new("/nowhere/at/all"),
        );
        log.push(&batch("last\n".into()), true, Path::new("/nowhere/at/all"));
        let text = String::from_utf8(read(log)).unwrap();
        assert!(
            text.starts_with("(some output is missing here, 262144 lines or more:"),
            "{text}"
        );
        assert!(text.ends_with("last\n"), "{text}");
    }
}

//! What a call of `hm` came to.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::Build;

/// Bytes of each stream that a failed test shows, from its end.
const SHOWN: usize = 6_000;

/// A call of `hm` that has ended.
#[derive(Debug)]
pub struct Finished {
    shown: String,
    status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    stderr: Vec<u8>,
    peak_kib: u64,
}

impl Finished {
    pub(crate) fn new(
        shown: String,
        status: ExitStatus,
        stdout: Vec<u8>,
        stderr: Vec<u8>,
        peak_kib: u64,
    ) -> Self {
        Self {
            shown,
            status,
            stdout,
            stderr,
            peak_kib,
        }
    }

    /// Returns the exit code; none if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Returns the signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Checks the exit code.
    ///
    /// # Panics
    /// If it is another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code(),
            Some(code),
            "exit code of `{}`\n{}",
            self.shown,
            self.said()
        );
        self
    }

    /// Returns standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns standard error as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Checks that standard error holds each text; blanks and line ends count as one blank,
    /// as messages are wrapped.
    ///
    /// # Panics
    /// If one is not there.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        let errors = self
            .errors()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        for text in texts {
            assert!(
                errors.contains(text),
                "`{}` does not say `{text}`\n{}",
                self.shown,
                self.said()
            );
        }
        self
    }

    /// Reads the JSON lines of a build, and checks that they tell one story: see [`Build`].
    ///
    /// # Panics
    /// If they do not.
    #[track_caller]
    pub fn build(&self) -> Build {
        match Build::read(&self.stdout) {
            Ok(build) => {
                assert_eq!(
                    self.code(),
                    Some(build.exit_code),
                    "`{}`\n{}",
                    self.shown,
                    self.said()
                );
                build
            }
            Err(problem) => panic!("`{}`: {problem}\n{}", self.shown, self.said()),
        }
    }

    /// Returns the most memory that `hm`, or a process that it started, had resident, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.peak_kib
    }

    /// Checks what holds for every run: no panic.
    #[track_caller]
    pub(crate) fn check_manners(&self) {
        let panicked = self.errors().contains("panicked at");
        assert!(!panicked, "`{}` panicked\n{}", self.shown, self.said());
    }

    /// Returns both streams, shortened, for a message.
    pub fn said(&self) -> String {
        shown(&self.stdout, &self.stderr)
    }
}

/// Returns both streams, shortened, for a message.
pub(crate) fn shown(stdout: &[u8], stderr: &[u8]) -> String {
    let tail = |bytes: &[u8]| {
        let start = bytes.len().saturating_sub(SHOWN);
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    };
    format!(
        "--- standard output\n{}\n--- standard error\n{}",
        tail(stdout),
        tail(stderr)
    )
}

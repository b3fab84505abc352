//! An `hm` on a terminal, and what a person in front of it sees.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::Invocation;
use crate::capture::Capture;

/// Lines above the screen that are kept.
const SCROLLBACK: usize = 5_000;

/// A child on a terminal; killed where a test ends before it does.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    output: Capture,
    columns: u16,
    rows: u16,
    deadline: Instant,
    state: PathBuf,
    shown: String,
    is_over: bool,
}

/// What stands on the terminal.
pub struct Seen {
    /// The exit code, at the end.
    pub code: Option<i32>,
    /// All that was ever written, as it came.
    pub bytes: Vec<u8>,
    screen: vt100::Parser,
}

impl Terminal {
    #[track_caller]
    pub(crate) fn start(invocation: Invocation, columns: u16, rows: u16) -> Self {
        let (person, program) =
            pair(columns, rows).unwrap_or_else(|error| panic!("no terminal: {error}"));
        let mut command = invocation.command();
        let stream = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("descriptors are plenty"));
        command
            .stdin(stream(&program))
            .stdout(stream(&program))
            .stderr(stream(&program));
        // SAFETY: both are bare system calls on the child's own standard input, and need no
        // memory of their own.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                // Keys such as Ctrl-C reach only the session that owns the terminal.
                rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
                Ok(())
            });
        }
        let shown = invocation.shown();
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{shown}`: {error}"));
        let keyboard = File::from(person);
        let screen = keyboard.try_clone().expect("descriptors are plenty");
        Self {
            child,
            keyboard,
            output: Capture::of(screen),
            columns,
            rows,
            deadline: Instant::now() + invocation.limit,
            state: invocation.state,
            shown,
            is_over: false,
        }
    }

    /// Waits until the screen shows `text`, and returns what then stands there.
    ///
    /// # Panics
    /// If that never happens.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> Seen {
        let mut found = None;
        self.output.wait_until(self.deadline, |read| {
            let seen = self.seen(read.to_vec(), None);
            let is_there = seen.text().contains(text);
            found = is_there.then_some(seen);
            is_there
        });
        found.unwrap_or_else(|| {
            panic!(
                "`{}` never showed `{text}`:\n{}",
                self.shown,
                self.seen(self.output.bytes(), None).text()
            )
        })
    }

    /// Types something.
    ///
    /// # Panics
    /// If the terminal has gone.
    #[track_caller]
    pub fn type_in(&mut self, keys: &[u8]) {
        self.keyboard
            .write_all(keys)
            .expect("the terminal is there");
    }

    /// Makes the window larger or smaller.
    ///
    /// # Panics
    /// If the terminal has gone.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        set_size(&self.keyboard, columns, rows).expect("the terminal is there");
    }

    /// Waits for the end, and checks that nothing was left behind.
    ///
    /// # Panics
    /// If it does not end within its limit, or leaves something.
    #[track_caller]
    pub fn wait(mut self) -> Seen {
        let status = self.wait_status();
        self.output
            .wait_closed(Instant::now() + Duration::from_secs(5));
        crate::assert_nothing_left(&self.state);
        let seen = self.seen(self.output.bytes_from(0), status.code());
        assert!(
            !seen.text().contains("panicked at"),
            "`{}` panicked:\n{}",
            self.shown,
            seen.text()
        );
        seen
    }

    #[track_caller]
    fn wait_status(&mut self) -> ExitStatus {
        loop {
            match self.child.try_wait().expect("it is our child") {
                Some(status) => {
                    self.is_over = true;
                    return status;
                }
                None if Instant::now() < self.deadline => {
                    std::thread::sleep(Duration::from_millis(5))
                }
                None => panic!(
                    "`{}` did not end:\n{}",
                    self.shown,
                    self.seen(self.output.bytes(), None).text()
                ),
            }
        }
    }

    fn seen(&self, bytes: Vec<u8>, code: Option<i32>) -> Seen {
        let mut screen = vt100::Parser::new(self.rows, self.columns, SCROLLBACK);
        screen.process(&bytes);
        Seen {
            code,
            bytes,
            screen,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Seen {
    /// Returns what stands on the screen and above it, a line for each line that was printed.
    pub fn text(&self) -> String {
        self.rows()
            .into_iter()
            .map(|(text, is_wrapped)| if is_wrapped { text } else { text + "\n" })
            .collect()
    }

    /// Returns the rows, each with whether it goes on in the next as it was too long.
    pub fn rows(&self) -> Vec<(String, bool)> {
        let mut screen = self.screen.screen().clone();
        let (height, width) = screen.size();
        screen.set_scrollback(usize::MAX);
        let above = screen.scrollback();
        let mut rows = Vec::new();
        let mut offset = above;
        loop {
            screen.set_scrollback(offset);
            let texts: Vec<String> = screen.rows(0, width).collect();
            let fresh = if offset == 0 {
                usize::from(height)
            } else {
                offset.min(usize::from(height))
            };
            for (row, text) in texts.into_iter().take(fresh).enumerate() {
                let row = u16::try_from(row).expect("a screen is small");
                rows.push((text.trim_end().to_owned(), screen.row_wrapped(row)));
            }
            if offset == 0 {
                return rows;
            }
            offset -= fresh.min(offset);
        }
    }

    /// Returns whether the cursor is there, as a shell's prompt needs it.
    pub fn has_cursor(&self) -> bool {
        !self.screen.screen().hide_cursor()
    }

    /// Returns whether any escape sequence but colours was written.
    pub fn has_cursor_movement(&self) -> bool {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        text.split("\u{1b}[")
            .skip(1)
            .any(|rest| rest.chars().find(|c| c.is_ascii_alphabetic()) != Some('m'))
    }

    /// Returns whether any colour was written.
    pub fn has_color(&self) -> bool {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        text.split("\u{1b}[").skip(1).any(|rest| {
            let end = rest.find(|c: char| c.is_ascii_alphabetic());
            end.is_some_and(|end| {
                rest[end..].starts_with('m')
                    && (30..50)
                        .any(|code| rest[..end].split(';').any(|part| part == code.to_string()))
            })
        })
    }
}

/// Opens a terminal: the person's end and the program's.
fn pair(columns: u16, rows: u16) -> std::io::Result<(OwnedFd, OwnedFd)> {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&person)?;
    unlockpt(&person)?;
    let name = ptsname(&person, Vec::new())?;
    let name = std::path::Path::new(name.to_str().map_err(std::io::Error::other)?);
    set_size(&person, columns, rows)?;
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let program = rustix::fs::open(name, flags, rustix::fs::Mode::empty())?;
    Ok((person, program))
}

fn set_size(terminal: impl AsFd, columns: u16, rows: u16) -> std::io::Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, size)?)
}

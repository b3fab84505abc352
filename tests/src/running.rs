//! An `hm` that runs.

use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::capture::Capture;
use crate::{Finished, Invocation};

/// Time between two looks at a child.
const LOOK: Duration = Duration::from_millis(5);

/// A child; killed where a test ends before it does.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Capture,
    stderr: Capture,
    unread: Option<ChildStdout>,
    shown: String,
    state: PathBuf,
    deadline: Instant,
    limit: Duration,
    is_alone: bool,
    peak_kib: u64,
    is_over: bool,
}

impl Running {
    #[track_caller]
    pub(crate) fn start(invocation: Invocation, is_unread: bool) -> Self {
        let mut command = invocation.command();
        // Out of the test runner's group: what is sent there is not meant for it.
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let shown = invocation.shown();
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{shown}`: {error}"));
        let mut stdin = child.stdin.take().expect("it was asked for");
        let input = invocation.stdin.clone();
        // It may end without having read; that is its right.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = child.stdout.take().expect("it was asked for");
        let stderr = Capture::of(child.stderr.take().expect("it was asked for"));
        let (stdout, unread) = if is_unread {
            (Capture::of(std::io::empty()), Some(stdout))
        } else {
            (Capture::of(stdout), None)
        };
        Self {
            child,
            stdout,
            stderr,
            unread,
            shown,
            state: invocation.state,
            deadline: Instant::now() + invocation.limit,
            limit: invocation.limit,
            is_alone: invocation.is_alone,
            peak_kib: 0,
            is_over: false,
        }
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes the standard output of [`Invocation::start_unread`].
    ///
    /// # Panics
    /// If it was started otherwise, or at the second call.
    pub fn unread_stdout(&mut self) -> ChildStdout {
        self.unread
            .take()
            .expect("started with `start_unread`, and not taken yet")
    }

    /// Waits until a line of standard output holds `text`.
    ///
    /// # Panics
    /// If that never happens.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let found = self.stdout.wait_until(self.deadline, |read| {
            let read = String::from_utf8_lossy(read);
            read.lines().any(|line| line.contains(text))
        });
        assert!(
            found,
            "`{}` never said `{text}`\n{}",
            self.shown,
            self.said()
        );
    }

    /// Waits until standard error holds `text`.
    ///
    /// # Panics
    /// If that never happens.
    #[track_caller]
    pub fn wait_for_error(&self, text: &str) {
        let found = self.stderr.wait_until(self.deadline, |read| {
            String::from_utf8_lossy(read).contains(text)
        });
        assert!(
            found,
            "`{}` never said `{text}`\n{}",
            self.shown,
            self.said()
        );
    }

    /// Returns standard error as far as it was read.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr.bytes()).into_owned()
    }

    /// Sends a signal to `hm` alone.
    ///
    /// # Panics
    /// If it has ended.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal)
            .unwrap_or_else(|error| panic!("`{}`: {error}\n{}", self.shown, self.said()));
    }

    /// Returns the most memory that `hm`, or a process that it started, had resident so far,
    /// in KiB.
    pub fn peak_kib(&mut self) -> u64 {
        let id = self.child.id();
        let started = children(id).into_iter().chain([id]).filter_map(held_kib);
        self.peak_kib = started.fold(self.peak_kib, u64::max);
        self.peak_kib
    }

    /// Waits for the end, and checks that nothing was left behind.
    ///
    /// # Panics
    /// If it does not end within its limit, or leaves something.
    #[track_caller]
    pub fn wait(mut self) -> Finished {
        let status = self.wait_status();
        let grace = Instant::now() + Duration::from_secs(10);
        let closed = self.stdout.wait_closed(grace) && self.stderr.wait_closed(grace);
        assert!(
            closed,
            "`{}` has ended, but something still holds its output\n{}",
            self.shown,
            self.said()
        );
        if self.is_alone && status.signal().is_none() {
            crate::assert_nothing_left(&self.state);
        }
        let finished = Finished::new(
            self.shown.clone(),
            status,
            self.stdout.bytes(),
            self.stderr.bytes(),
            self.peak_kib,
        );
        finished.check_manners();
        finished
    }

    #[track_caller]
    fn wait_status(&mut self) -> ExitStatus {
        loop {
            self.peak_kib();
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    self.is_over = true;
                    return status;
                }
                Ok(None) if Instant::now() < self.deadline => std::thread::sleep(LOOK),
                Ok(None) => {
                    self.kill();
                    panic!(
                        "`{}` did not end within {:?}\n{}",
                        self.shown,
                        self.limit,
                        self.said()
                    );
                }
                Err(error) => panic!("cannot wait for `{}`: {error}", self.shown),
            }
        }
    }

    fn kill(&mut self) {
        if !self.is_over {
            let _ = self.child.kill();
            let _ = self.child.wait();
            self.is_over = true;
        }
    }

    fn said(&self) -> String {
        crate::finished::shown(&self.stdout.bytes(), &self.stderr.bytes())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns the processes that a process has started, in any of its threads.
fn children(id: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let ids = list.split_whitespace().filter_map(|id| id.parse().ok());
            ids.collect::<Vec<_>>()
        })
        .collect()
}

/// Returns the most that a process has had resident; none if it has ended.
fn held_kib(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().trim_end_matches("kB").trim().parse().ok()
}

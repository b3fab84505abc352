//! One call of `hm`, before it runs.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Finished, Project, Running, Terminal};

/// Time that a child gets. Far more than any needs, even beside a compiler.
pub const LIMIT: Duration = Duration::from_secs(120);

/// A call of `hm` in a project.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Of this test; everything else of the caller's environment is kept away.
    pub(crate) env: BTreeMap<OsString, OsString>,
    pub(crate) args: Vec<OsString>,
    pub(crate) folder: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) stdin: Vec<u8>,
    pub(crate) limit: Duration,
    pub(crate) is_alone: bool,
    program: PathBuf,
}

impl Invocation {
    pub(crate) fn new(project: &Project, program: &Path) -> Self {
        Self {
            env: project.env().clone(),
            args: Vec::new(),
            folder: project.path().to_owned(),
            state: project.state().to_owned(),
            stdin: Vec::new(),
            limit: LIMIT,
            is_alone: true,
            program: program.to_owned(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.into(), value.as_ref().to_owned());
        self
    }

    /// Runs in a folder of the project instead of its root.
    #[must_use]
    pub fn folder(mut self, path: &str) -> Self {
        self.folder = self.folder.join(path);
        self
    }

    /// Gives it something to read; without, its standard input is at its end.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = text.into();
        self
    }

    /// Gives it another time than [`LIMIT`].
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Another `hm` runs on the same state at the same time, so that nothing can be said
    /// about what this one left.
    #[must_use]
    pub fn beside_others(mut self) -> Self {
        self.is_alone = false;
        self
    }

    /// Runs it to its end, and checks that it left nothing behind.
    ///
    /// # Panics
    /// If it does not end, or leaves something.
    #[track_caller]
    pub fn run(self) -> Finished {
        self.start().wait()
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start(self) -> Running {
        Running::start(self, false)
    }

    /// Starts it with a standard output that nobody reads until the caller does.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start_unread(self) -> Running {
        Running::start(self, true)
    }

    /// Starts it on a terminal of this size, which it then has for all three streams.
    ///
    /// # Panics
    /// If there is no such terminal.
    #[track_caller]
    pub fn on_terminal(self, columns: u16, rows: u16) -> Terminal {
        Terminal::start(self, columns, rows)
    }

    /// Returns the command, with no input and no output yet.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Returns the command as words, for messages.
    pub(crate) fn shown(&self) -> String {
        let mut words = vec!["hm".to_owned()];
        words.extend(
            self.args
                .iter()
                .map(|arg| arg.to_string_lossy().into_owned()),
        );
        words.join(" ")
    }
}

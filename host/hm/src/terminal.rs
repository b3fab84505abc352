//! What standard output and standard error are connected to, and how text may look there.

use std::io::{self, IsTerminal, Write};

use hm_render::{Size, inert, write_error, write_warning};

use crate::failure::Failure;

/// When to write colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where the output goes, found once at the start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// A person can be asked: standard input and standard error are terminals, and this is
    /// no CI system.
    pub(crate) can_ask: bool,
    /// Standard error is a terminal on which the cursor can be moved.
    pub(crate) is_live: bool,
    /// Standard output is the log of a GitHub Actions job.
    pub(crate) is_github: bool,
    stdout: bool,
    stderr: bool,
    dumb: bool,
    color: Color,
}

impl Terminal {
    /// Looks at the standard streams and the environment. `flag` wins over `NO_COLOR` and
    /// `CLICOLOR_FORCE`.
    pub(crate) fn detect(flag: Color) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let forced = set("CLICOLOR_FORCE")
            && std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let color = match flag {
            Color::Auto if set("NO_COLOR") => Color::Never,
            Color::Auto if forced => Color::Always,
            flag => flag,
        };
        let (stdout, stderr) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        let ci = set("CI");
        Self {
            can_ask: stderr && io::stdin().is_terminal() && !ci,
            is_live: stderr && !dumb && !ci,
            is_github: !stdout
                && std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true"),
            stdout,
            stderr,
            dumb,
            color,
        }
    }

    /// Returns true if a carriage return on standard output goes back in its line.
    pub(crate) fn is_on_stdout(&self) -> bool {
        self.stdout
    }

    /// Returns true if text on standard output may have colours.
    pub(crate) fn color_on_stdout(&self) -> bool {
        self.colors(self.stdout)
    }

    /// Returns true if text on standard error may have colours.
    pub(crate) fn color_on_stderr(&self) -> bool {
        self.colors(self.stderr)
    }

    fn colors(&self, is_terminal: bool) -> bool {
        match self.color {
            Color::Auto => is_terminal && !self.dumb,
            Color::Always => true,
            Color::Never => false,
        }
    }

    /// Returns how large the terminal behind standard error is now; zeros if unknown.
    pub(crate) fn size() -> Size {
        match rustix::termios::tcgetwinsize(io::stderr()) {
            Ok(size) => Size {
                columns: size.ws_col,
                rows: size.ws_row,
            },
            Err(_) => Size {
                columns: 0,
                rows: 0,
            },
        }
    }

    /// Returns how wide text on standard output may be; a pipe takes any width.
    pub(crate) fn columns(&self) -> usize {
        const PIPE: usize = 120;
        match rustix::termios::tcgetwinsize(io::stdout()) {
            Ok(size) if self.stdout && size.ws_col > 0 => usize::from(size.ws_col),
            _ => PIPE,
        }
    }

    /// Prints a failure on standard error.
    pub(crate) fn tell(&self, failure: &Failure) {
        if !failure.is_silent() {
            // A standard error that is closed leaves nowhere to say so.
            let _ = write_error(
                &mut io::stderr().lock(),
                failure.error(),
                failure.hints(),
                self.color_on_stderr(),
            );
        }
    }

    /// Prints a warning on standard error.
    pub(crate) fn warn(&self, message: &str) {
        let _ = write_warning::<&str>(
            &mut io::stderr().lock(),
            message,
            &[],
            self.color_on_stderr(),
        );
    }

    /// Prints a line for the person on standard error.
    pub(crate) fn note(&self, message: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", inert(message));
    }
}

/// Returns true if the locale can show signs beyond ASCII; unset means that nobody said no.
pub(crate) fn has_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    match locale.map(|locale| locale.to_ascii_lowercase()) {
        Some(locale) if locale == "c" || locale == "posix" => false,
        Some(locale) => locale.contains("utf") || !locale.contains('.'),
        None => true,
    }
}

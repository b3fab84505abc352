//! Plain lines for the log of GitHub Actions, with an annotation for each step that failed.
//!
//! GitHub's runner obeys commands that it finds in the log (`::set-output …`, `##[group]`).
//! Everything that comes from a build is therefore written while it is told to obey none:
//! `::stop-commands::TOKEN`, until the line `::TOKEN::`. Nobody in the build knows the token,
//! and each line of output stays as it is. ("Workflow commands for GitHub Actions", stopping
//! and starting workflow commands.)

use std::borrow::Cow;
use std::io::{self, Write};

use hm_plugin_protocol::{BuildEvent, BuildOutcome, Level, Plan, StepStatus};
use jiff::Timestamp;

use crate::plain::Plain;
use crate::renderer::{Options, Renderer, Size};
use crate::state::{State, StepState};
use crate::text::words;

/// Annotations of one kind that GitHub shows of a step; the rest it drops.
const SHOWN: usize = 10;

/// Events as plain lines and workflow commands.
#[derive(Debug)]
pub struct Github<W> {
    plain: Plain<W>,
    /// With the last lines of steps, which the plain lines have no use for.
    state: State,
    token: String,
    is_stopped: bool,
    /// What was warned of, the first few.
    warnings: Vec<String>,
}

impl<W: Write + Send> Github<W> {
    /// Makes a renderer for a build of `plan` that writes to `out`. `token` is a text of
    /// letters and digits that nobody in the build can guess.
    pub fn new(out: W, plan: &Plan, options: &Options, token: String) -> Self {
        Self {
            plain: Plain::new(out, plan, options),
            state: State::new(plan),
            token,
            is_stopped: false,
            warnings: Vec::new(),
        }
    }

    fn stop_commands(&mut self) -> io::Result<()> {
        if self.is_stopped {
            return Ok(());
        }
        self.is_stopped = true;
        self.plain
            .raw_line(&format!("::stop-commands::{}", self.token))
    }

    /// Annotates what went wrong, and why the build ended where no step says it.
    fn annotate(&mut self) -> io::Result<()> {
        let state = &self.state;
        let blamed = state.blamed();
        let mut lines: Vec<String> = blamed
            .iter()
            .take(SHOWN)
            .filter_map(|&step| state.step(step))
            .map(error)
            .collect();
        if let Some(verdict) = &state.verdict
            && let Some(reason) = &verdict.reason
            && blamed.is_empty()
            && verdict.exit_code != 0
        {
            lines.push(format!(
                "::error title={}::{}",
                property(&state.pipeline),
                data(reason)
            ));
        }
        let warnings = self.warnings.iter().take(SHOWN);
        lines.extend(warnings.map(|text| format!("::warning::{}", data(text))));
        for line in lines {
            self.plain.raw_line(&line)?;
        }
        Ok(())
    }
}

/// Returns the annotation of a step: how it ended, and the last that it said.
fn error(step: &StepState) -> String {
    let mut text = match (step.status(), step.exit_code) {
        (Some(StepStatus::TimedOut), _) => "timed out".to_owned(),
        (_, Some(code)) => words::exit_code(code).into_owned(),
        (status, None) => status.map_or("failed", words::status).to_owned(),
    };
    if let Some(reason) = &step.reason {
        text += &format!(": {reason}");
    }
    for line in step.tail() {
        text.push('\n');
        text += line.trim_end();
    }
    format!("::error title={}::{}", property(&step.key), data(&text))
}

/// Escapes a command's data: GitHub reads `%25`, `%0D` and `%0A` back.
fn data(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '\r', '\n']) {
        return text.into();
    }
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
        .into()
}

/// Escapes a command's property, in which `:` and `,` have a meaning too.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

impl<W: Write + Send> Renderer for Github<W> {
    fn event(&mut self, event: &BuildEvent) -> io::Result<()> {
        self.stop_commands()?;
        self.state.apply(event);
        if let BuildEvent::Notice {
            level: Level::Warning | Level::Error,
            message,
            ..
        } = event
            && self.warnings.len() < SHOWN
        {
            self.warnings.push(message.clone());
        }
        self.plain.event(event)
    }

    fn tick(&mut self, now: Timestamp, size: Size) -> io::Result<()> {
        self.plain.tick(now, size)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.plain.flush()
    }

    fn finish(&mut self, outcome: Option<&BuildOutcome>) -> io::Result<()> {
        self.plain.finish(outcome)?;
        if self.is_stopped {
            self.is_stopped = false;
            let resume = format!("::{}::", self.token);
            self.plain.raw_line(&resume)?;
            self.annotate()?;
        }
        self.plain.flush()
    }
}

//! For a person: what is going on now, what failed in full, and what came of it.
//!
//! On a terminal a frame of running steps is drawn over at each tick, below lines that
//! stay. Elsewhere, and on a dumb terminal, only lines are written.

mod ending;
mod frame;
mod log;
mod screen;
mod spill;
mod summary;

use std::io::{self, Write};

use hm_plugin_protocol::{BuildEvent, BuildOutcome, Level, Plan, PlanGraph, StepId, StepStatus};
use jiff::{SignedDuration, Timestamp};

use self::log::Logs;
use self::screen::Screen;
use self::summary::Summary;
use crate::clean_line;
use crate::renderer::{Detail, Options, Renderer, Size};
use crate::state::State;
use crate::text::line::{Line, Look, Style};
use crate::text::words;

/// Time between two frames. A tick that comes a little early still draws.
const FRAME: SignedDuration = SignedDuration::from_millis(90);

/// The view for people.
#[derive(Debug)]
pub struct Human<W: Write> {
    screen: Screen<W>,
    state: State,
    graph: PlanGraph,
    logs: Logs,
    look: Look,
    detail: Detail,
    /// True if frames are drawn.
    is_live: bool,
    backend: String,
    command: String,
    goes_on: bool,
    watch: Option<String>,
    last_frame: Option<Timestamp>,
    is_finished: bool,
}

impl<W: Write + Send> Human<W> {
    /// Makes a renderer for a build of `plan` that writes to `out`, which is standard
    /// error's terminal if `options` says that it is interactive.
    pub fn new(out: W, plan: &Plan, options: &Options) -> Self {
        Self {
            screen: Screen::new(out, options.size),
            state: State::new(plan),
            graph: PlanGraph::new(plan),
            logs: Logs::new(options.color, options.spill_dir.clone()),
            look: Look {
                color: options.color,
                unicode: options.unicode,
            },
            detail: options.detail,
            is_live: options.interactive && options.detail != Detail::Quiet,
            backend: clean_line(&options.backend).into_owned(),
            command: options.command.clone(),
            goes_on: options.goes_on,
            watch: options.watch.clone(),
            last_frame: None,
            is_finished: false,
        }
    }

    fn is_quiet(&self) -> bool {
        self.detail == Detail::Quiet
    }

    fn build_start(&mut self) -> io::Result<()> {
        if self.is_quiet() {
            return Ok(());
        }
        let steps = words::count(self.state.steps().len(), "step");
        let mut line = Line::endless(self.look);
        line.push(Style::Bold, &self.state.pipeline);
        line.push(Style::Plain, &format!("  {steps} on {}", self.backend));
        self.screen.line(line)
    }

    fn accepted(&mut self) -> io::Result<()> {
        let number = self.state.build.as_ref().and_then(|build| build.number);
        let mut line = Line::endless(self.look);
        line.push(
            Style::Plain,
            &number.map_or("accepted".into(), |n| format!("accepted as #{n}")),
        );
        if let Some(url) = &self.state.watch_url {
            line.push(Style::Plain, ": ")
                .push(Style::Note, &clean_line(url));
        }
        self.screen.line(line)
    }

    /// Tells of a start where no frame does.
    fn step_start(&mut self, step: StepId) -> io::Result<()> {
        let Some(step) = self.state.step(step) else {
            return Ok(());
        };
        if self.is_live || self.is_quiet() {
            return Ok(());
        }
        let mut line = Line::endless(self.look);
        line.push(Style::Note, self.look.either("▸", ">"))
            .push(Style::Plain, " ");
        line.push(Style::Bold, &step.key);
        if let Some(title) = &step.title {
            line.push(Style::Dim, &format!(" ({title})"));
        }
        line.push(Style::Plain, "  started");
        self.screen.line(line)
    }

    fn step_end(&mut self, id: StepId, status: StepStatus) -> io::Result<()> {
        let is_blamed = matches!(status, StepStatus::Failed | StepStatus::TimedOut);
        if let Some(step) = self.state.step(id)
            && (is_blamed || !self.is_quiet())
        {
            self.screen
                .line(ending::line(step, &self.backend, self.look))?;
        }
        if is_blamed || self.detail == Detail::Verbose {
            self.step_log(id, is_blamed)?;
        }
        self.logs.forget(id);
        Ok(())
    }

    /// Prints a log in full, between two rules.
    fn step_log(&mut self, id: StepId, is_blamed: bool) -> io::Result<()> {
        let Some(step) = self.state.step(id) else {
            return Ok(());
        };
        if self.logs.is_empty(id) {
            if is_blamed {
                let mut line = Line::endless(self.look);
                line.push(Style::Dim, "  it printed nothing");
                self.screen.line(line)?;
            }
            return Ok(());
        }
        let lines = words::count(usize::try_from(step.lines).unwrap_or(usize::MAX), "line");
        let head = self.rule(&format!("output of {}, {lines}", step.key));
        let ending = ending::words(step, &self.backend);
        let foot = self.rule(&format!("end of {}: {ending}", step.key));
        self.screen.line(head)?;
        self.logs.read_out(id, |piece| self.screen.write(piece))?;
        self.screen.line(foot)
    }

    fn rule(&self, text: &str) -> Line {
        let side = self.look.either("────", "----");
        let mut line = Line::endless(self.look);
        line.push(Style::Dim, &format!("{side} {text} {side}"));
        line
    }

    fn notice(&mut self, step: Option<StepId>, level: Level, message: &str) -> io::Result<()> {
        let hides = match level {
            Level::Info if step.is_some() => self.is_live && self.detail != Detail::Verbose,
            Level::Info => false,
            Level::Warning | Level::Error => return self.notice_line(step, level, message),
        };
        if hides || self.is_quiet() {
            return Ok(());
        }
        self.notice_line(step, level, message)
    }

    fn notice_line(&mut self, step: Option<StepId>, level: Level, message: &str) -> io::Result<()> {
        let style = match level {
            Level::Info => Style::Note,
            Level::Warning => Style::Warn,
            Level::Error => Style::Bad,
        };
        let mut line = Line::endless(self.look);
        line.push(style, words::level(level))
            .push(Style::Plain, ": ");
        if let Some(step) = step.and_then(|step| self.state.step(step)) {
            line.push(Style::Bold, &step.key).push(Style::Plain, ": ");
        }
        line.push(Style::Plain, &clean_line(message));
        self.screen.line(line)
    }

    fn summary(&mut self, outcome: Option<&BuildOutcome>) -> io::Result<()> {
        if let Some(outcome) = outcome.filter(|outcome| outcome.submitted) {
            let url = outcome.watch_url.as_deref();
            let mut line = Line::endless(self.look);
            line.push(Style::Plain, "submitted and left to run");
            if let Some(url) = url {
                line.push(Style::Plain, ": ")
                    .push(Style::Note, &clean_line(url));
            }
            self.screen.line(line)?;
            let Some(command) = words::watching(self.watch.as_deref(), &outcome.build) else {
                return Ok(());
            };
            let mut line = Line::endless(self.look);
            line.push(Style::Dim, "  watch it from here: ")
                .push(Style::Plain, &clean_line(&command));
            return self.screen.line(line);
        }
        let summary = Summary {
            state: &self.state,
            graph: &self.graph,
            look: self.look,
            columns: usize::from(self.screen.size().columns),
            detail: self.detail,
            backend: &self.backend,
            command: &self.command,
            goes_on: self.goes_on,
        };
        for line in summary.lines() {
            self.screen.line(line)?;
        }
        Ok(())
    }
}

impl<W: Write + Send> Renderer for Human<W> {
    fn event(&mut self, event: &BuildEvent) -> io::Result<()> {
        self.state.apply(event);
        match event {
            BuildEvent::StepLog(lines) => {
                self.logs.push(lines);
                Ok(())
            }
            BuildEvent::BuildStart { .. } => self.build_start(),
            BuildEvent::BuildAccepted { .. } => self.accepted(),
            BuildEvent::StepStart { step, .. } => self.step_start(*step),
            BuildEvent::StepEnd { step, status, .. } => self.step_end(*step, *status),
            BuildEvent::Notice {
                step,
                level,
                message,
                ..
            } => self.notice(*step, *level, message),
            // The first two stand in the frame, the next three in the summary; the
            // last is for machines.
            BuildEvent::StepQueued { .. }
            | BuildEvent::StepCacheHit { .. }
            | BuildEvent::ChainFailed { .. }
            | BuildEvent::BuildEnd { .. }
            | BuildEvent::Custom { .. } => Ok(()),
        }
    }

    fn tick(&mut self, now: Timestamp, size: Size) -> io::Result<()> {
        if self.is_finished || !self.is_live {
            return self.screen.flush();
        }
        let is_resized = self.screen.size() != size.known();
        let is_due = self
            .last_frame
            .is_none_or(|last| now.duration_since(last).abs() >= FRAME);
        if !is_due && !is_resized {
            return Ok(());
        }
        self.last_frame = Some(now);
        self.screen.resize(size);
        let lines = frame::frame(&self.state, now, self.screen.size(), self.look);
        self.screen.show(lines)
    }

    /// With a frame on the terminal, what stays waits for the next tick: written
    /// alone, it would make the frame blink.
    fn flush(&mut self) -> io::Result<()> {
        if self.is_live && !self.is_finished {
            return Ok(());
        }
        self.screen.flush()
    }

    fn finish(&mut self, outcome: Option<&BuildOutcome>) -> io::Result<()> {
        if self.is_finished {
            return Ok(());
        }
        self.is_finished = true;
        let result = self.summary(outcome);
        let restored = self.screen.restore();
        result.and(restored)
    }
}

//! Lines for pipes and logs of other systems: every event and every line of output.
//!
//! A line of standard output follows `[key] `, one of standard error `[key]! `; so
//! the two can be told apart whatever a program prints. On a terminal a line with
//! carriage returns shows its last segment, as the program meant it to.

use std::io::{self, Write};

use hm_plugin_protocol::{
    BuildEvent, BuildOutcome, BuildRef, Level, LogLines, LogStream, Plan, PlanSummary, StepId,
    StepStatus,
};
use jiff::Timestamp;
use memchr::{memchr, memchr_iter};

use crate::buffer::Buffer;
use crate::pieces::{BREAK, Lead, Pieces};
use crate::renderer::{Options, Renderer, Size};
use crate::state::{State, last_segment};
use crate::text::clean::clean_line;
use crate::text::line::{Look, Style};
use crate::text::{sgr, words};

/// Events as plain lines.
#[derive(Debug)]
pub struct Plain<W> {
    buffer: Buffer<W>,
    look: Look,
    /// True if a carriage return would write over the start of its line.
    is_terminal: bool,
    backend: String,
    watch: Option<String>,
    state: State,
    /// What stands before a line, by step.
    prefixes: Vec<Prefix>,
    pieces: Pieces<(StepId, LogStream)>,
}

/// What stands before the lines of one step.
#[derive(Debug)]
struct Prefix {
    stdout: String,
    stderr: String,
}

impl<W: Write + Send> Plain<W> {
    /// Makes a renderer for a build of `plan` that writes to `out`, with large writes of
    /// its own.
    pub fn new(out: W, plan: &Plan, options: &Options) -> Self {
        let look = Look {
            color: options.color,
            unicode: options.unicode,
        };
        let prefixes = plan
            .steps
            .iter()
            .map(|step| {
                let key = clean_line(&step.key);
                Prefix {
                    stdout: look.paint(Style::Note, &format!("[{key}]")) + " ",
                    stderr: look.paint(Style::Warn, &format!("[{key}]!")) + " ",
                }
            })
            .collect();
        Self {
            buffer: Buffer::new(out),
            look,
            is_terminal: options.interactive,
            backend: clean_line(&options.backend).into_owned(),
            watch: options.watch.clone(),
            state: State::new(plan),
            prefixes,
            pieces: Pieces::new(),
        }
    }

    /// Appends a line that is not about the build, as it is.
    pub(crate) fn raw_line(&mut self, text: &str) -> io::Result<()> {
        self.line(text)
    }

    /// Ends an unfinished line of output that is not followed by its own next piece.
    fn interrupt(&mut self, by: Option<(StepId, LogStream)>) {
        if self.pieces.interrupt(by) {
            self.buffer.bytes().extend_from_slice(BREAK.as_bytes());
            self.buffer.bytes().push(b'\n');
        }
    }

    /// Appends a line about the build.
    fn line(&mut self, text: &str) -> io::Result<()> {
        self.interrupt(None);
        let out = self.buffer.bytes();
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
        self.buffer.spill()
    }

    /// Appends a line about a step.
    fn step_line(&mut self, step: StepId, text: &str) -> io::Result<()> {
        let line = match self.prefixes.get(step as usize) {
            Some(prefix) => format!("{}{text}", prefix.stdout),
            None => format!("[step {step}] {text}"),
        };
        self.line(&line)
    }

    fn log(&mut self, lines: &LogLines) -> io::Result<()> {
        let channel = (lines.step, lines.stream);
        self.interrupt(Some(channel));
        let lead = self.pieces.follow(channel, lines.partial);
        let prefix = match (self.prefixes.get(lines.step as usize), lines.stream) {
            (Some(prefix), LogStream::Stdout) => prefix.stdout.as_str(),
            (Some(prefix), LogStream::Stderr) => prefix.stderr.as_str(),
            (None, LogStream::Stdout) => "[?] ",
            (None, LogStream::Stderr) => "[?]! ",
        };
        let text = lines.text().as_bytes();
        let strip = !self.look.color && memchr(0x1b, text).is_some();
        let cut = self.is_terminal && memchr(b'\r', text).is_some();
        let out = self.buffer.bytes();
        match lead {
            Lead::Fresh => out.extend_from_slice(prefix.as_bytes()),
            Lead::Continues => {}
            Lead::Resumes => {
                out.extend_from_slice(prefix.as_bytes());
                out.extend_from_slice(BREAK.as_bytes());
            }
        }
        let mut start = 0;
        for end in memchr_iter(b'\n', text) {
            if start > 0 {
                out.extend_from_slice(prefix.as_bytes());
            }
            let line = match cut {
                true => last_segment(&lines.text()[start..end]).as_bytes(),
                false => &text[start..end],
            };
            if strip {
                sgr::strip(line, out);
            } else {
                out.extend_from_slice(line);
            }
            out.push(b'\n');
            start = end + 1;
        }
        if lines.partial {
            // The line end belongs to the batch, not to the line.
            out.pop();
        }
        self.buffer.spill()
    }

    fn end(&mut self, event: &BuildEvent) -> io::Result<()> {
        let BuildEvent::StepEnd {
            step,
            exit_code,
            duration_ms,
            status,
            reason,
            observed,
            ..
        } = event
        else {
            return Ok(());
        };
        let code = exit_code.map_or("none".to_owned(), |code| code.to_string());
        let mut text = format!(
            "end exit={code} duration={duration_ms}ms {}",
            words::status(*status)
        );
        if *status == StepStatus::Passed && !observed {
            text += &format!(" (reported by {})", self.backend);
        }
        if let Some(reason) = reason {
            text += &format!(": {}", clean_line(reason));
        }
        self.step_line(*step, &text)
    }

    fn notice(&mut self, step: Option<StepId>, level: Level, message: &str) -> io::Result<()> {
        let text = format!("{}: {}", words::level(level), clean_line(message));
        match step {
            Some(step) => self.step_line(step, &text),
            None => self.line(&format!("build: {text}")),
        }
    }

    fn build_start(&mut self, plan: &PlanSummary) -> io::Result<()> {
        let steps = words::count(plan.step_count, "step");
        let chains = words::count(plan.chain_count as usize, "chain");
        self.line(&format!("build: {steps} in {chains}"))
    }

    fn accepted(&mut self, build: &BuildRef, watch_url: Option<&str>) -> io::Result<()> {
        let number = build.number.map_or(String::new(), |n| format!(" as #{n}"));
        let org = build
            .org
            .as_deref()
            .map_or(String::new(), |org| format!("{org}/"));
        let watch = watch_url.map_or(String::new(), |url| format!(", watch {url}"));
        let text = format!("accepted{number} of {org}{}{watch}", build.pipeline);
        self.line(&format!("build: {}", clean_line(&text)))
    }

    /// Repeats at the end, where a person looks first, which steps were to blame.
    fn build_end(&mut self, event: &BuildEvent) -> io::Result<()> {
        let BuildEvent::BuildEnd {
            exit_code,
            duration_ms,
            status,
            reason,
        } = event
        else {
            return Ok(());
        };
        for step in self.state.blamed() {
            let state = self.state.step(step).expect("blamed steps are of the plan");
            let code = state
                .exit_code
                .map_or("none".to_owned(), |code| code.to_string());
            let text = format!(
                "build: {} [{}] exit={code}",
                state.status().map_or("", words::status),
                state.key
            );
            self.line(&text)?;
        }
        let counts = self.state.counts_by_status();
        if !counts.is_empty() {
            self.line(&format!("build: {counts}"))?;
        }
        // What was left to run has not passed yet.
        let is_submitted = self.state.is_submitted();
        let ending = match is_submitted {
            true => "submitted".to_owned(),
            false => status.as_str().replace('_', " "),
        };
        let mut text = format!("build: end exit={exit_code} duration={duration_ms}ms {ending}");
        if let Some(reason) = reason.as_deref().filter(|_| !is_submitted) {
            text += &format!(": {}", clean_line(reason));
        }
        self.line(&text)
    }
}

impl<W: Write + Send> Renderer for Plain<W> {
    fn event(&mut self, event: &BuildEvent) -> io::Result<()> {
        if let BuildEvent::StepLog(lines) = event {
            return self.log(lines);
        }
        self.state.apply(event);
        match event {
            BuildEvent::BuildStart { plan, .. } => self.build_start(plan),
            BuildEvent::BuildAccepted { build, watch_url } => {
                self.accepted(build, watch_url.as_deref())
            }
            BuildEvent::StepQueued {
                step, parent_key, ..
            } => {
                let parent = parent_key.as_deref().map_or(String::new(), |key| {
                    format!(" (builds in [{}])", clean_line(key))
                });
                self.step_line(*step, &format!("queued{parent}"))
            }
            BuildEvent::StepStart {
                step,
                runner,
                image,
                ..
            } => {
                let image = image
                    .as_deref()
                    .map_or(String::new(), |image| format!(" image={image}"));
                let text = format!("start (runner={runner}{image})");
                self.step_line(*step, &clean_line(&text))
            }
            BuildEvent::StepCacheHit { step, tag, .. } => {
                self.step_line(*step, &format!("cache hit ({})", clean_line(tag)))
            }
            BuildEvent::StepEnd { .. } => self.end(event),
            BuildEvent::ChainFailed {
                chain_idx,
                failed_step_key,
                message,
                ..
            } => {
                let text =
                    format!("chain {chain_idx}: FAILED at step {failed_step_key}: {message}");
                self.line(&clean_line(&text))
            }
            BuildEvent::Notice {
                step,
                level,
                message,
                ..
            } => self.notice(*step, *level, message),
            BuildEvent::Custom { name, data } => self.line(&format!(
                "build: custom {} {}",
                clean_line(name),
                clean_line(&data.to_string())
            )),
            BuildEvent::BuildEnd { .. } => self.build_end(event),
            BuildEvent::StepLog(_) => Ok(()),
        }
    }

    fn tick(&mut self, _now: Timestamp, _size: Size) -> io::Result<()> {
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.buffer.flush()
    }

    fn finish(&mut self, outcome: Option<&BuildOutcome>) -> io::Result<()> {
        self.interrupt(None);
        if let Some(outcome) = outcome.filter(|outcome| outcome.submitted) {
            let watch = outcome
                .watch_url
                .as_deref()
                .map_or(String::new(), |url| format!(", watch {url}"));
            let command = words::watching(self.watch.as_deref(), &outcome.build)
                .map_or(String::new(), |command| format!(", or `{command}`"));
            self.line(&clean_line(&format!(
                "build: submitted and left to run{watch}{command}"
            )))?;
        }
        self.flush()
    }
}

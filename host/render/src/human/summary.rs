//! What a person reads when the build has ended: the table, the verdict, the way on.

use hm_plugin_protocol::{BuildStatus, PlanGraph, StepId, StepStatus};
use unicode_width::UnicodeWidthStr;

use super::ending;
use crate::renderer::Detail;
use crate::state::{State, StepState};
use crate::text::line::{Line, Look, Style};
use crate::text::words;

/// A plan with more steps has a table of only what did not pass, this long at most.
const TABLE_ROWS: usize = 40;

/// Failed steps that the verdict names; and of those, the ones whose last lines it repeats.
const NAMED: usize = 10;
const QUOTED: usize = 3;

/// Steps of a critical path that are named.
const PATH_STEPS: usize = 6;

/// What the summary is drawn from, and how.
pub(crate) struct Summary<'a> {
    pub(crate) state: &'a State,
    pub(crate) graph: &'a PlanGraph,
    pub(crate) look: Look,
    /// Of the terminal.
    pub(crate) columns: usize,
    pub(crate) detail: Detail,
    pub(crate) backend: &'a str,
    pub(crate) command: &'a str,
    /// Past failures.
    pub(crate) goes_on: bool,
}

impl Summary<'_> {
    /// Returns the lines, first the table, then the verdict.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        if self.detail != Detail::Quiet && self.state.steps().len() > 1 {
            lines.push(Line::endless(self.look));
            self.table(&mut lines);
        }
        lines.push(Line::endless(self.look));
        lines.push(self.verdict());
        self.failures(&mut lines);
        if self.detail != Detail::Quiet {
            lines.extend(self.critical_path());
        }
        if let Some(url) = &self.state.watch_url {
            lines.push(self.note("watch", url));
        }
        self.hints(&mut lines);
        lines
    }

    fn table(&self, lines: &mut Vec<Line>) {
        let all = self.tree();
        let is_short = all.len() <= TABLE_ROWS;
        let mut rows: Vec<(StepId, usize)> = all
            .into_iter()
            .filter(|&(step, _)| {
                is_short || !self.step(step).status().is_some_and(StepStatus::is_success)
            })
            .collect();
        let left_out = rows.len().saturating_sub(TABLE_ROWS);
        rows.truncate(TABLE_ROWS);
        let deepest = self.columns / 4;
        let indent = |depth: usize| (2 * depth).min(deepest);
        let names = rows
            .iter()
            .map(|&(step, depth)| indent(depth) + self.step(step).key.width());
        let names = names.max().unwrap_or(0).min(self.columns / 2);
        for (step, depth) in rows {
            lines.push(self.row(self.step(step), indent(depth), names));
        }
        if left_out > 0 {
            let mut line = Line::endless(self.look);
            line.push(
                Style::Dim,
                &format!("  and {left_out} more that did not pass"),
            );
            lines.push(line);
        }
    }

    fn row(&self, step: &StepState, indent: usize, names: usize) -> Line {
        let mut line = Line::new(self.look, self.columns.saturating_sub(1).max(1));
        let status = step.status();
        let (style, sign) =
            status.map_or((Style::Dim, "?"), |status| ending::mark(status, self.look));
        line.push(style, sign).pad(2 + indent);
        let mut name = Line::new(self.look, names.saturating_sub(indent).max(1));
        name.push(Style::Plain, &step.key);
        line.append(name).pad(2 + names + 2);
        line.push(style, status.map_or("not ended", words::status))
            .pad(2 + names + 2 + 11);
        let time = if step.duration_ms > 0 {
            words::duration(step.duration_ms)
        } else {
            String::new()
        };
        line.push(Style::Plain, &format!("{time:>7}"));
        let mut notes = Vec::new();
        // A timeout's code is a convention, not news.
        if status != Some(StepStatus::TimedOut)
            && let Some(code) = step.exit_code.filter(|&code| code != 0)
        {
            notes.push(words::exit_code(code).into_owned());
        }
        if ending::is_reported(step) {
            notes.push(format!("reported by {}", self.backend));
        }
        notes.extend(step.reason.clone());
        if step.notices > 0 {
            notes.push(words::count(step.notices as usize, "notice"));
        }
        if !notes.is_empty() {
            line.push(Style::Plain, "  ")
                .push(Style::Dim, &notes.join("; "));
        }
        line
    }

    fn verdict(&self) -> Line {
        let mut line = Line::endless(self.look);
        let counts = self.state.counts_by_status();
        let Some(verdict) = &self.state.verdict else {
            let (style, sign) = ending::build_mark(BuildStatus::Failed, self.look);
            line.push(style, &format!("{sign} build ended without a verdict"));
            if !counts.is_empty() {
                line.push(Style::Plain, &format!(": {counts}"));
            }
            return line;
        };
        let (style, sign) = ending::build_mark(verdict.status, self.look);
        let status = verdict.status.as_str().replace('_', " ");
        let time = words::duration(verdict.duration_ms);
        line.push(style, &format!("{sign} build {status}"));
        let word = if verdict.status == BuildStatus::Passed {
            "in"
        } else {
            "after"
        };
        line.push(Style::Plain, &format!(" {word} {time}"));
        if verdict.exit_code != verdict.status.exit_code() {
            line.push(Style::Plain, &format!(", exit {}", verdict.exit_code));
        }
        if let Some(reason) = &verdict.reason {
            line.push(Style::Plain, &format!(": {}", crate::clean_line(reason)));
        }
        if !counts.is_empty() {
            let separator = if verdict.reason.is_some() { "; " } else { ": " };
            line.push(Style::Plain, &format!("{separator}{counts}"));
        }
        line
    }

    fn failures(&self, lines: &mut Vec<Line>) {
        let blamed = self.state.blamed();
        for (number, &id) in blamed.iter().take(NAMED).enumerate() {
            let step = self.step(id);
            let mut line = Line::endless(self.look);
            line.push(Style::Plain, "  ");
            line.append(ending::line(step, self.backend, self.look));
            lines.push(line);
            if number >= QUOTED {
                continue;
            }
            for text in step.tail() {
                let mut line = Line::new(self.look, self.columns.saturating_sub(1).max(1));
                line.push(Style::Plain, self.look.either("    │ ", "    | "));
                line.push(Style::Dim, text.trim_end());
                lines.push(line);
            }
        }
        if blamed.len() > NAMED {
            let mut line = Line::endless(self.look);
            line.push(
                Style::Plain,
                &format!("  and {} more", blamed.len() - NAMED),
            );
            lines.push(line);
        }
    }

    /// Returns the line about the steps that took the build's time, if more than one did.
    fn critical_path(&self) -> Option<Line> {
        let cost = |step: StepId| self.state.step(step).map_or(0, |step| step.duration_ms);
        let path: Vec<StepId> = self
            .graph
            .critical_path(cost)
            .into_iter()
            .filter(|&step| cost(step) > 0)
            .collect();
        if path.len() < 2 {
            return None;
        }
        let total: u64 = path.iter().map(|&step| cost(step)).sum();
        let mut longest = path.clone();
        longest.sort_by_key(|&step| std::cmp::Reverse(cost(step)));
        longest.truncate(PATH_STEPS);
        let mut parts = Vec::new();
        let mut is_gap = false;
        for &step in &path {
            if longest.contains(&step) {
                parts.push(format!(
                    "{} {}",
                    self.step(step).key,
                    words::duration(cost(step))
                ));
                is_gap = false;
            } else if !is_gap {
                parts.push(self.look.ellipsis().to_owned());
                is_gap = true;
            }
        }
        let arrow = self.look.either(" → ", " -> ");
        let steps = words::count(path.len(), "step");
        let text = format!(
            "{} in {steps}: {}",
            words::duration(total),
            parts.join(arrow)
        );
        Some(self.note("critical path", &text))
    }

    /// Says how to go on. Only flags of `hm run` that exist.
    fn hints(&self, lines: &mut Vec<Line>) {
        if self.state.failed() == 0 {
            return;
        }
        lines.push(self.note("run it again", self.command));
        let counts = self.state.counts_by_status();
        let has_more = counts.of(StepStatus::Skipped) + counts.of(StepStatus::Cancelled) > 0;
        if has_more && !self.goes_on {
            lines.push(self.note("go on past failures", &format!("{} -k", self.command)));
        }
        if self.detail != Detail::Verbose && counts.of(StepStatus::Passed) > 0 {
            lines.push(self.note("see all output", &format!("{} -v", self.command)));
        }
    }

    fn note(&self, head: &str, text: &str) -> Line {
        let mut line = Line::endless(self.look);
        line.push(Style::Dim, &format!("  {head}: "));
        line.push(Style::Plain, &crate::clean_line(text));
        line
    }

    fn step(&self, step: StepId) -> &StepState {
        &self.state.steps()[step as usize]
    }

    /// Returns every step with its depth, each below its `builds_in` parent.
    fn tree(&self) -> Vec<(StepId, usize)> {
        let steps = self.state.steps();
        let mut children: Vec<Vec<StepId>> = vec![Vec::new(); steps.len()];
        let mut waiting: Vec<(StepId, usize)> = Vec::new();
        for step in (0..steps.len() as StepId).rev() {
            match steps[step as usize].parent {
                Some(parent) => children[parent as usize].push(step),
                None => waiting.push((step, 0)),
            }
        }
        let mut tree = Vec::with_capacity(steps.len());
        while let Some((step, depth)) = waiting.pop() {
            tree.push((step, depth));
            waiting.extend(
                children[step as usize]
                    .iter()
                    .map(|&child| (child, depth + 1)),
            );
        }
        tree
    }
}

//! The live view: running steps, their time and their last line, and the counts.

use jiff::Timestamp;

use crate::renderer::Size;
use crate::state::{State, StepState};
use crate::text::line::{Line, Look, Style};
use crate::text::words;

use unicode_width::UnicodeWidthStr;

/// Columns of the sign before a name, and of a running time with a space before it.
const MARK: usize = 2;
const TIME: usize = 8;

/// Below this many columns a line has no room for output.
const ROOMY: usize = 36;

/// Returns the lines of the view; never more than fit a terminal of `size`, which has
/// one row and one column to spare.
pub(crate) fn frame(state: &State, now: Timestamp, size: Size, look: Look) -> Vec<Line> {
    let columns = usize::from(size.columns).saturating_sub(1).max(1);
    let rows = usize::from(size.rows).saturating_sub(1).max(1);
    let running = state.running();
    let room = rows - 1;
    // One row goes to the count of those for which there is no row.
    let shown = if running.len() <= room {
        running.len()
    } else {
        room.saturating_sub(1)
    };
    let steps: Vec<&StepState> = running[..shown]
        .iter()
        .filter_map(|&step| state.step(step))
        .collect();
    let names = steps.iter().map(|step| step.key.width()).max().unwrap_or(0);
    let most = if columns < ROOMY {
        columns.saturating_sub(MARK + TIME)
    } else {
        columns / 3
    };
    let names = names.min(most.max(4));
    let mut lines: Vec<Line> = steps
        .into_iter()
        .map(|step| step_line(step, now, names, columns, look))
        .collect();
    if shown < running.len() && room > 0 {
        let mut line = Line::new(look, columns);
        line.push(
            Style::Dim,
            &format!("  +{} more running", running.len() - shown),
        );
        lines.push(line);
    }
    // The cursor waits behind the last line, and a terminal puts a typed ^C there.
    lines.push(status_line(
        state,
        now,
        columns.saturating_sub(2).max(1),
        look,
    ));
    lines
}

fn step_line(step: &StepState, now: Timestamp, names: usize, columns: usize, look: Look) -> Line {
    let mut line = Line::new(look, columns);
    line.push(Style::Note, spinner(now, look)).pad(MARK);
    let mut name = Line::new(look, names);
    name.push(Style::Bold, &step.key);
    line.append(name).pad(MARK + names);
    let time = words::elapsed(since(step.started, now));
    line.push(Style::Plain, &format!(" {time:>width$}", width = TIME - 1));
    if columns >= ROOMY {
        let detail = step.last_line();
        let detail = detail
            .as_deref()
            .or(step.title.as_deref())
            .unwrap_or_default();
        line.push(Style::Plain, "  ")
            .push(Style::Dim, detail.trim_end());
    }
    line
}

fn status_line(state: &State, now: Timestamp, columns: usize, look: Look) -> Line {
    let separator = look.either(" · ", ", ");
    let total = state.steps().len();
    let waiting = total - state.ended() - state.running().len();
    let mut line = Line::new(look, columns);
    if columns >= ROOMY && !state.pipeline.is_empty() {
        line.push(Style::Bold, &state.pipeline)
            .push(Style::Plain, "  ");
    }
    line.push(Style::Plain, &format!("{}/{total} done", state.ended()));
    if state.failed() > 0 {
        line.push(Style::Plain, separator);
        line.push(Style::Bad, &format!("{} failed", state.failed()));
    }
    line.push(Style::Plain, separator);
    line.push(Style::Plain, &format!("{} running", state.running().len()));
    if waiting > 0 {
        line.push(Style::Plain, separator);
        line.push(Style::Plain, &format!("{waiting} waiting"));
    }
    line.push(Style::Plain, separator);
    line.push(Style::Plain, &words::elapsed(since(state.started_at, now)));
    line
}

/// Returns the milliseconds from `start` to `now`; 0 if the clock was set back.
fn since(start: Option<Timestamp>, now: Timestamp) -> u64 {
    let start = start.unwrap_or(now);
    u64::try_from(now.duration_since(start).as_millis()).unwrap_or(0)
}

/// Returns the sign of a running step: time moves it, so an equal moment draws an
/// equal frame.
fn spinner(now: Timestamp, look: Look) -> &'static str {
    const ROUND: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
    const PLAIN: [&str; 4] = ["|", "/", "-", "\\"];
    let turn = now.as_millisecond().unsigned_abs() as usize / 100;
    if look.unicode {
        ROUND[turn % ROUND.len()]
    } else {
        PLAIN[turn % PLAIN.len()]
    }
}

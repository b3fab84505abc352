//! `hm logs`: what the steps of a recorded run printed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use hm_plugin_protocol::{BuildEvent, LogLines, Plan};
use hm_render::{Options, Plain, Renderer, clean_line, last_segment};

use crate::config::Folders;
use crate::failure::{Exit, Failure, nearest};
use crate::run;
use crate::run::record::list;
use crate::terminal::Terminal;

/// Print what a recorded run printed: all of it, or one step's output alone
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The run's id or its beginning; the last run if not given, as with `last`
    run: Option<String>,
    /// The step's key
    step: Option<String>,
}

/// Prints the log.
pub(crate) fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let runs = run::state(&Folders::find()?)?.runs();
    let name = find(&runs, args.run.as_deref())?;
    let folder = runs.join(&name);
    let plan: Plan = read(&folder.join("plan.json"))?;
    let path = folder.join("events.jsonl");
    let events = BufReader::with_capacity(
        256 << 10,
        File::open(&path).map_err(|error| broken(&path, error))?,
    );
    match &args.step {
        None => {
            let color = terminal.color_on_stdout();
            let mut view = Plain::new(
                io::stdout(),
                &plan,
                &Options {
                    color,
                    interactive: terminal.is_on_stdout(),
                    ..Options::default()
                },
            );
            each(events, &path, |event| view.event(&event))?;
            view.flush()?;
        }
        Some(key) => {
            let step = step(&plan, key)?;
            let mut out = BufWriter::new(io::stdout().lock());
            each(events, &path, |event| match event {
                BuildEvent::StepLog(lines) if lines.step == step => {
                    write(&lines, terminal.is_on_stdout(), &mut out)
                }
                _ => Ok(()),
            })?;
            out.flush()?;
        }
    }
    Ok(Exit::Success)
}

/// Writes a batch as it was printed; on a terminal, without what a carriage return would have
/// another text written over.
fn write(lines: &LogLines, is_terminal: bool, out: &mut impl Write) -> io::Result<()> {
    // The end of a piece that goes on is not the line's.
    let text = match lines.partial {
        true => lines.text().trim_end_matches('\n'),
        false => lines.text(),
    };
    if !is_terminal || !text.contains('\r') {
        return out.write_all(text.as_bytes());
    }
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        out.write_all(last_segment(line).as_bytes())?;
        out.write_all(end.as_bytes())?;
    }
    Ok(())
}

/// Reads all events; a last line that was cut off with its run ends it.
fn each(
    events: impl BufRead,
    path: &Path,
    mut take: impl FnMut(BuildEvent) -> io::Result<()>,
) -> Result<(), Failure> {
    for line in events.lines() {
        let line = line.map_err(|error| broken(path, error))?;
        let Ok(event) = serde_json::from_str(&line) else {
            break;
        };
        take(event)?;
    }
    Ok(())
}

fn find(runs: &Path, wanted: Option<&str>) -> Result<String, Failure> {
    let names = list(runs);
    let wanted = wanted.filter(|wanted| *wanted != "last");
    let matching: Vec<_> = match wanted {
        None => names.last().into_iter().collect(),
        Some(start) => names
            .iter()
            .filter(|name| name.starts_with(start))
            .collect(),
    };
    match (matching.as_slice(), wanted) {
        ([name], _) => Ok((*name).clone()),
        ([], None) => Err(Failure::usage("there is no recorded run").hint("`hm run` makes one")),
        ([], Some(start)) => Err(Failure::usage(format!(
            "there is no recorded run `{}`",
            clean_line(start)
        ))
        .hint("`hm runs` lists them")),
        (_, start) => Err(Failure::usage(format!(
            "several runs begin with `{}`",
            clean_line(start.unwrap_or_default())
        ))
        .hint("`hm runs` lists them")),
    }
}

fn step(plan: &Plan, key: &str) -> Result<u32, Failure> {
    if let Some(step) = plan.steps.iter().position(|step| step.key == key) {
        return Ok(u32::try_from(step).unwrap_or(u32::MAX));
    }
    let failure = Failure::usage(format!("the run had no step `{}`", clean_line(key)));
    Err(
        match nearest(key, plan.steps.iter().map(|step| step.key.as_str())) {
            Some(near) => failure.hint(format!("did you mean `{}`?", clean_line(near))),
            None => failure.hint("`hm logs` without a step prints all of the last run"),
        },
    )
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let bytes = std::fs::read(path).map_err(|error| broken(path, error))?;
    serde_json::from_slice(&bytes).map_err(|error| broken(path, error))
}

fn broken(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::caused(
        Exit::Unavailable,
        format!("cannot read the record {}", path.display()),
        error,
    )
}

//! `hm runs`: what was run, newest last.

use std::io::Write;
use std::path::Path;

use hm_render::clean_line;

use crate::config::Folders;
use crate::failure::{Exit, Failure};
use crate::run;
use crate::run::record::{Meta, list};

/// List recorded runs, newest last
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Prints a line a run.
pub(crate) fn run(_args: &Args) -> Result<Exit, Failure> {
    let runs = run::state(&Folders::find()?)?.runs();
    let mut text = String::new();
    for name in list(&runs) {
        let Some(meta) = read(&runs, &name) else {
            continue;
        };
        let end = match (meta.exit_code, meta.finished_at) {
            (Some(code), Some(finished)) => {
                let time = finished.duration_since(meta.started_at).as_millis().max(0);
                format!(
                    "{:<10} {:>9}",
                    verdict(code),
                    format!("{}.{:01} s", time / 1000, time % 1000 / 100)
                )
            }
            _ => format!("{:<10} {:>9}", "no end", ""),
        };
        let started = meta.started_at.strftime("%Y-%m-%d %H:%M:%SZ");
        let pipeline = clean_line(&meta.pipeline).into_owned();
        text += &format!(
            "{name}  {started}  {end}  {pipeline}  {}\n",
            clean_line(&meta.root.display().to_string())
        );
    }
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Success)
}

/// Reads what a run was; none if its record is broken or goes away.
pub(crate) fn read(runs: &Path, name: &str) -> Option<Meta> {
    serde_json::from_slice(&std::fs::read(runs.join(name).join("meta.json")).ok()?).ok()
}

fn verdict(code: i32) -> String {
    match code {
        0 => "passed".into(),
        1 => "failed".into(),
        124 => "timed out".into(),
        130 => "cancelled".into(),
        code => format!("exit {code}"),
    }
}

//! What it costs to hold a backend to the rules: the order table, the sequencer and the limits
//! on every event and line, and the grant at the start.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hm_exec::{ComponentSource, LocalBackend, internals};

use crate::component;
use crate::measure::{Process, median, pairs, process, summary};
use crate::plan;
use crate::project::Project;
use crate::table::Table;

const STEPS: u32 = 10_000;
const LINES: usize = 1_000_000;

fn figure(wall: Duration) -> Process {
    Process { wall, peak: 0 }
}

/// Returns what judging costs: the same through the queue, with and without the rules.
fn judging(tokio: &tokio::runtime::Runtime, steps: u32, lines: usize) -> Result<Duration> {
    let plan = plan::plan(steps, false);
    let run = |is_judged| {
        let begun = Instant::now();
        std::hint::black_box(tokio.block_on(internals::events(&plan, lines, is_judged)));
        Ok(begun.elapsed())
    };
    // Some hundredths of a second each, and their difference is small beside the noise.
    let (without, with) = pairs(25, || run(false), || run(true))?;
    Ok(median(with).saturating_sub(median(without)))
}

/// A build of many steps through the component, and the same less what judging costs.
pub fn events(tokio: &tokio::runtime::Runtime, table: &mut Table) -> Result<()> {
    let whole = median(component::builds(tokio, STEPS, 5)?);
    let off = whole.saturating_sub(judging(tokio, STEPS, 0)?);
    let what = format!("{STEPS} steps' events, rules on / off");
    table.add(&what, off, figure(whole), 1, "1.05 x");
    Ok(())
}

/// A million lines through the whole program, and the same less what cleaning, lines and
/// limits cost.
pub fn logs(hm: &Path, table: &mut Table) -> Result<()> {
    let tokio = tokio::runtime::Runtime::new()?;
    let command = format!("yes $(printf %079d 7) | head -n {LINES}");
    let project = Project::new(&plan::toml(1, false, &command))?;
    let run = || process(&mut project.run(hm, &["--no-cache"]));
    let (whole, _) = pairs(5, run, || Ok(()))?;
    let whole = summary(&whole);
    // In the portions in which a pipe hands it on.
    let off = whole
        .wall
        .saturating_sub(judging(&tokio, LINES as u32 / 1_600, 1_600)?);
    let what = format!("{LINES} lines of 80 bytes, rules on / off");
    table.add(&what, off, whole, 1, "1.05 x");
    Ok(())
}

/// The built-in scheduler, and the same bytes from a file with a grant: machines of one size, so
/// that what is left is what a stranger's file costs.
pub fn consent(hm: &Path, table: &mut Table) -> Result<()> {
    let ComponentSource::Embedded { bytes, .. } = LocalBackend::source() else {
        anyhow::bail!("the local backend is embedded");
    };
    let project = Project::new(&plan::toml(1, false, "true"))?;
    let file = project.file("local.wasm");
    std::fs::write(&file, bytes)?;
    project
        .configure("[vm]\ncpus = 2\nmemory = \"4 GiB\"\nprocesses = 1024\ndisk = \"8 GiB\"\n")?;
    let mut grant = project.hm(hm, &["backend", "grant"]);
    grant
        .arg(&file)
        .args(["--vm", "--vm-image", "host", "--vm-network", "host"]);
    process(&mut grant)?;
    let file = file.to_str().context("the folder has a plain name")?;
    let run = |more: &[&str]| {
        let args = [&["--no-cache", "--network", "host"], more].concat();
        process(&mut project.run(hm, &args))
    };
    let (baseline, subject) = pairs(25, || run(&[]), || run(&["--backend", file]))?;
    table.add(
        "a granted component from a file / built in",
        summary(&baseline).wall,
        summary(&subject),
        1,
        "1 ms over",
    );
    Ok(())
}

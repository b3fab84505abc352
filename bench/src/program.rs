//! Rows over the whole program: a fresh `hm` each time, with its own state.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::measure::{Process, pairs, process, summary};
use crate::plan;
use crate::project::Project;
use crate::table::Table;

type Row = fn(&Path, &mut Table) -> Result<()>;

/// Every row, by name.
pub const ROWS: &[(&str, Row)] = &[
    ("version", version),
    ("step", one_step),
    ("chain-20", chain_20),
    ("chain-200", chain_200),
    ("independent-2", independent_2),
    ("independent-8", independent_8),
    ("source", source),
    ("logs", logs),
    ("secrets", secrets),
    ("idle", idle),
    ("cloud", crate::cloud::logs),
    ("policy-logs", crate::policy::logs),
    ("policy-consent", crate::policy::consent),
];

/// `sh -c true`, as often as the pipeline has steps: what the work itself costs.
fn bare(command: &str, times: usize) -> Result<Process> {
    let mut all = Process {
        wall: std::time::Duration::ZERO,
        peak: 0,
    };
    for _ in 0..times {
        all.wall += process(
            Command::new("sh")
                .args(["-c", command])
                .stdout(Stdio::null()),
        )?
        .wall;
    }
    Ok(all)
}

fn steps(
    hm: &Path,
    table: &mut Table,
    what: &str,
    project: &Project,
    args: &[&str],
    count: usize,
    limit: &str,
) -> Result<()> {
    let rounds = if count > 100 { 5 } else { 15 };
    let (baseline, subject) = pairs(
        rounds,
        || bare("true", count),
        || process(&mut project.run(hm, args)),
    )?;
    table.add(
        what,
        summary(&baseline).wall,
        summary(&subject),
        count as u32,
        limit,
    );
    Ok(())
}

fn version(hm: &Path, table: &mut Table) -> Result<()> {
    let run = || process(Command::new(hm).arg("version").stdout(Stdio::null()));
    let (baseline, subject) = pairs(25, || bare("true", 1), run)?;
    table.add(
        "hm version / sh -c true",
        summary(&baseline).wall,
        summary(&subject),
        1,
        "10 ms",
    );
    Ok(())
}

fn one_step(hm: &Path, table: &mut Table) -> Result<()> {
    let project = Project::new(&plan::toml(1, false, "true"))?;
    steps(
        hm,
        table,
        "one step, whole program / sh -c true",
        &project,
        &["--no-cache"],
        1,
        "",
    )
}

fn chain_20(hm: &Path, table: &mut Table) -> Result<()> {
    let project = Project::new(&plan::toml(20, true, "true"))?;
    steps(
        hm,
        table,
        "chain of 20 / 20 x sh -c true",
        &project,
        &[],
        20,
        "0.3 s; 10 ms a step",
    )
}

fn chain_200(hm: &Path, table: &mut Table) -> Result<()> {
    let project = Project::new(&plan::toml(200, true, "true"))?;
    steps(
        hm,
        table,
        "chain of 200 / 200 x sh -c true",
        &project,
        &[],
        200,
        "10 ms a step",
    )
}

fn independent_2(hm: &Path, table: &mut Table) -> Result<()> {
    let project = Project::new(&plan::toml(50, false, "true"))?;
    steps(
        hm,
        table,
        "50 independent, -j 2 / 50 x sh -c true",
        &project,
        &["-j", "2"],
        50,
        "10 ms a step",
    )
}

fn independent_8(hm: &Path, table: &mut Table) -> Result<()> {
    let project = Project::new(&plan::toml(50, false, "true"))?;
    steps(
        hm,
        table,
        "50 independent, -j 8 / 50 x sh -c true",
        &project,
        &["-j", "8"],
        50,
        "10 ms a step",
    )
}

/// The same steps over no source and over 20,000 files: the second may cost the scan of
/// the tree once, and nothing a step.
fn source(hm: &Path, table: &mut Table) -> Result<()> {
    for count in [1, 20] {
        let pipeline = plan::toml(count, false, "true");
        let empty = Project::new(&pipeline)?;
        let full = Project::new(&pipeline)?.with_files(20_000)?;
        let (baseline, subject) = pairs(
            9,
            || process(&mut empty.run(hm, &[])),
            || process(&mut full.run(hm, &[])),
        )?;
        let what = format!("{count} step(s) over 20,000 files / over none");
        table.add(
            &what,
            summary(&baseline).wall,
            summary(&subject),
            count as u32,
            "",
        );
    }
    Ok(())
}

/// A million numbered lines of 80 bytes, from the command to a file.
fn logs(hm: &Path, table: &mut Table) -> Result<()> {
    let generators = [
        ("seq -f", "seq -f %079.0f 1 1000000"),
        ("yes | head", "yes $(printf %079d 7) | head -n 1000000"),
    ];
    for (name, command) in generators {
        let project = Project::new(&plan::toml(1, false, command))?;
        let (through_cat, through_hm) = (project.file("cat.txt"), project.file("hm.txt"));
        let (baseline, subject) = pairs(
            5,
            || {
                process(
                    Command::new("sh")
                        .args(["-c", &format!("sh -c '{command}' | cat")])
                        .stdout(File::create(&through_cat)?),
                )
            },
            || {
                process(
                    project
                        .run(hm, &["--no-cache"])
                        .stdout(File::create(&through_hm)?),
                )
            },
        )?;
        let lines = std::fs::read(&through_hm)?
            .split(|&byte| byte == b'\n')
            .filter(|line| line.len() >= 79)
            .count();
        anyhow::ensure!(lines == 1_000_000, "{lines} lines of 1000000 arrived");
        let what = format!("1,000,000 lines of 80 bytes ({name}) / sh | cat > file");
        table.add(
            &what,
            summary(&baseline).wall,
            summary(&subject),
            1,
            "1.5 x; 100 MB",
        );
    }
    Ok(())
}

/// The same lines with secrets to look for: one short one, and a key of many lines.
fn secrets(hm: &Path, table: &mut Table) -> Result<()> {
    let key: String = (0..27)
        .map(|line| format!("{:064}\n", line * 7919))
        .collect();
    for (name, value) in [
        ("a token", "ghp_0123456789abcdefghijklmnop"),
        ("a key", &key),
    ] {
        let project = Project::new(&plan::toml(1, false, "seq -f %079.0f 1 1000000"))?;
        let run = |args: &[&str]| {
            let mut command = project.run(hm, args);
            process(command.arg("--no-cache").env("BENCH_SECRET", value))
        };
        let (baseline, subject) = pairs(5, || run(&[]), || run(&["--secret", "BENCH_SECRET"]))?;
        table.add(
            &format!("1,000,000 lines of 80 bytes, {name} hidden / nothing hidden"),
            summary(&baseline).wall,
            summary(&subject),
            1,
            "",
        );
    }
    Ok(())
}

/// What a run holds while nothing happens.
fn idle(hm: &Path, table: &mut Table) -> Result<()> {
    let project = Project::new(&plan::toml(1, false, "sleep 1"))?;
    let (baseline, subject) = pairs(
        3,
        || bare("sleep 1", 1),
        || process(&mut project.run(hm, &["--no-cache"])),
    )?;
    table.add(
        "a step that sleeps 1 s / sh -c 'sleep 1'",
        summary(&baseline).wall,
        summary(&subject),
        1,
        "60 MB",
    );
    Ok(())
}

//! Whole programs: a fresh `hm run` beside `docker run`, `docker exec` and `bwrap`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hm_tests::Docker as Daemon;

use super::stage::Stage;
use crate::measure::{Process, pairs, process, summary};
use crate::plan;
use crate::project::Project;
use crate::table::Table;

const ROUNDS: usize = 5;

/// A pipeline in docker's image.
fn on_docker(text: &str) -> String {
    text.replace("\"host\"", &format!("\"{}\"", Daemon::IMAGE))
}

fn docker(stage: &Stage, args: &[&str]) -> Result<Duration> {
    let begun = Instant::now();
    let status = Command::new("docker")
        .env("DOCKER_HOST", stage.docker()?.host())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "docker {args:?} ends with {status}");
    Ok(begun.elapsed())
}

fn hm(stage: &Stage, project: &Project, args: &[&str]) -> Result<Process> {
    let mut command = project.run(&stage.hm, args);
    if let Ok(docker) = &stage.docker {
        command.env("DOCKER_HOST", docker.host());
    }
    process(&mut command)
}

/// Adds a row of whole programs.
fn row(
    table: &mut Table,
    what: &str,
    steps: u32,
    limit: &str,
    baseline: impl FnMut() -> Result<Duration>,
    subject: impl FnMut() -> Result<Process>,
) -> Result<()> {
    let mut baseline = baseline;
    let whole = || {
        Ok(Process {
            wall: baseline()?,
            peak: 0,
        })
    };
    let (baseline, subject) = pairs(ROUNDS, whole, subject)?;
    table.add(
        what,
        summary(&baseline).wall,
        summary(&subject),
        steps,
        limit,
    );
    Ok(())
}

pub fn chain(stage: &Stage, table: &mut Table) -> Result<()> {
    let text = plan::toml(20, true, "true");
    let sandbox = Project::new(&text)?;
    let project = Project::new(&on_docker(&text))?;
    let name = format!("hm-bench-{}", std::process::id());
    let raw = || {
        let begun = Instant::now();
        docker(
            stage,
            &[
                "run",
                "--detach",
                "--name",
                &name,
                Daemon::IMAGE,
                "sleep",
                "1000",
            ],
        )?;
        for _ in 0..20 {
            docker(stage, &["exec", &name, "sh", "-c", "true"])?;
        }
        let took = begun.elapsed();
        docker(stage, &["rm", "--force", &name])?;
        Ok(took)
    };
    let ours = || hm(stage, &project, &["--engine", "docker"]);
    let what = "chain of 20 on docker / docker run and 20 docker exec";
    row(table, what, 20, "1.2 x", raw, ours)?;
    let small = || Ok(hm(stage, &sandbox, &[])?.wall);
    let what = "chain of 20 on docker / on the sandbox";
    row(table, what, 20, "", small, || {
        hm(stage, &project, &["--engine", "docker"])
    })
}

pub fn independent(stage: &Stage, table: &mut Table) -> Result<()> {
    let text = plan::toml(50, false, "true");
    let sandbox = Project::new(&text)?;
    let project = Project::new(&on_docker(&text))?;
    for jobs in ["2", "8"] {
        let raw = || {
            let script = format!(
                "seq 50 | xargs -P {jobs} -I % docker run --rm --network host {} sh -c true",
                Daemon::IMAGE
            );
            let begun = Instant::now();
            let status = Command::new("sh")
                .env("DOCKER_HOST", stage.docker()?.host())
                .args(["-c", &script])
                .status()?;
            ensure!(status.success(), "{script} ends with {status}");
            Ok(begun.elapsed())
        };
        let what = format!("50 independent, -j {jobs}, on docker / docker run --rm");
        row(table, &what, 50, "", raw, || {
            hm(stage, &project, &["--engine", "docker", "-j", jobs])
        })?;
        let small = || Ok(hm(stage, &sandbox, &["-j", jobs])?.wall);
        let what = format!("50 independent, -j {jobs}, on docker / on the sandbox");
        row(table, &what, 50, "at least 40 x", small, || {
            hm(stage, &project, &["--engine", "docker", "-j", jobs])
        })?;
    }
    Ok(())
}

pub fn fan_out(stage: &Stage, table: &mut Table) -> Result<()> {
    let mut text = "image = \"host\"\n[steps.base]\n\
        run = \"head -c 200000000 /dev/zero > big\"\n"
        .to_owned();
    for index in 0..8 {
        text += &format!("[steps.s{index}]\nfrom = \"base\"\nrun = \"test -s big\"\n");
    }
    let sandbox = Project::new(&text)?;
    let project = Project::new(&on_docker(&text))?;
    let small = || Ok(hm(stage, &sandbox, &["-j", "8"])?.wall);
    let what = "8 steps from a snapshot of 200 MB, on docker / on the sandbox";
    row(table, what, 9, "", small, || {
        hm(stage, &project, &["--engine", "docker", "-j", "8"])
    })
}

pub fn source(stage: &Stage, table: &mut Table) -> Result<()> {
    let text = plan::toml(1, false, "true");
    let empty = Project::new(&text)?;
    let full = Project::new(&text)?.with_files_of(20_000, 10_000)?;
    row(
        table,
        "a step over 20,000 files, 200 MB, unchanged / over none",
        1,
        "100 ms",
        || Ok(hm(stage, &empty, &[])?.wall),
        || hm(stage, &full, &[]),
    )?;
    if stage.docker.is_err() {
        return Ok(());
    }
    let empty = Project::new(&on_docker(&text))?;
    let full = Project::new(&on_docker(&text))?.with_files_of(20_000, 10_000)?;
    row(
        table,
        "the same on docker",
        1,
        "",
        || Ok(hm(stage, &empty, &["--engine", "docker"])?.wall),
        || hm(stage, &full, &["--engine", "docker"]),
    )
}

pub fn bwrap(stage: &Stage, table: &mut Table) -> Result<()> {
    let project = Project::new(&plan::toml(50, false, "true"))?;
    let raw = || {
        let begun = Instant::now();
        for _ in 0..50 {
            let status = Command::new("bwrap")
                .args(["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"])
                .args(["--unshare-all", "--share-net", "sh", "-c", "true"])
                .status()?;
            ensure!(status.success(), "bwrap ends with {status}");
        }
        Ok(begun.elapsed())
    };
    let what = "50 independent, -j 1, on the sandbox / 50 x bwrap";
    row(table, what, 50, "", raw, || {
        hm(stage, &project, &["-j", "1"])
    })
}

//! Whole programs: a fresh `hm run` beside `docker run`, `docker exec` and `bwrap`.
//!
//! What takes seconds is run a few times only, all that is compared in turns.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hm_tests::Docker as Daemon;

use super::stage::Stage;
use super::{figure, host_shell};
use crate::measure::{Process, pairs, process, summary, turns};
use crate::plan;
use crate::project::Project;
use crate::table::Table;

/// Of what takes seconds, and of what does not.
const FEW: usize = 3;
const MANY: usize = 9;

/// The same pipeline for both engines.
struct Both {
    sandbox: Project,
    docker: Project,
}

impl Both {
    fn new(text: &str) -> Result<Self> {
        let other = text.replace("\"host\"", &format!("\"{}\"", Daemon::IMAGE));
        Ok(Self {
            sandbox: Project::new(text)?,
            docker: Project::new(&other)?,
        })
    }

    fn on_sandbox(&self, stage: &Stage, args: &[&str]) -> Result<Process> {
        process(&mut self.sandbox.run(&stage.hm, args))
    }

    fn on_docker(&self, stage: &Stage, args: &[&str]) -> Result<Process> {
        let args = [&["--engine", "docker"], args].concat();
        let mut command = self.docker.run(&stage.hm, &args);
        process(command.env("DOCKER_HOST", stage.docker()?.host()))
    }
}

/// Runs a script that calls docker's own program.
fn script(stage: &Stage, script: &str) -> Result<Process> {
    let begun = Instant::now();
    let status = Command::new("sh")
        .env("DOCKER_HOST", stage.docker()?.host())
        .env("IMAGE", Daemon::IMAGE)
        .env("NAME", format!("hm-bench-{}", std::process::id()))
        .args(["-ec", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "{script} ends with {status}");
    Ok(figure(begun.elapsed()))
}

/// The bare command, one after the other.
fn bare(times: usize) -> Result<Process> {
    let mut all = Duration::ZERO;
    for _ in 0..times {
        all += host_shell()?;
    }
    Ok(figure(all))
}

pub fn chain(stage: &Stage, table: &mut Table) -> Result<()> {
    let kept = plan::toml(20, true, "true").replace("\nrun", "\ncache = \"forever\"\nrun");
    let kept = Both::new(&kept)?;
    let forgetful = || {
        process(&mut kept.sandbox.hm(&stage.hm, &["cache", "clear"]))?;
        kept.on_sandbox(stage, &[])
    };
    let (baseline, ours) = pairs(MANY, || bare(20), forgetful)?;
    let what = "chain of 20, a snapshot each, on the sandbox / 20 x sh -c true";
    let (baseline, ours) = (summary(&baseline).wall, summary(&ours));
    table.add(what, baseline, ours, 20, "150 ms");

    let both = Both::new(&plan::toml(20, true, "true"))?;
    let raw = "docker run --detach --network host --name $NAME $IMAGE sleep 1000
        for step in $(seq 20); do docker exec $NAME sh -c true; done";
    let [raw, docker, sandbox] = turns(
        FEW,
        [
            &mut || {
                let took = script(stage, raw)?;
                script(stage, "docker rm --force $NAME")?;
                Ok(took)
            },
            &mut || both.on_docker(stage, &[]),
            &mut || both.on_sandbox(stage, &[]),
        ],
    )?;
    let what = "chain of 20 on docker / docker run and 20 docker exec";
    table.add(what, raw.wall, docker, 20, "1.2 x");
    let what = "chain of 20 on docker / on the sandbox";
    table.add(what, sandbox.wall, docker, 20, "");
    Ok(())
}

pub fn independent(stage: &Stage, table: &mut Table) -> Result<()> {
    let both = Both::new(&plan::toml(50, false, "true"))?;
    for jobs in ["2", "8"] {
        let args = ["-j", jobs];
        let (baseline, ours) = pairs(MANY, || bare(50), || both.on_sandbox(stage, &args))?;
        let what = format!("50 independent, -j {jobs}, on the sandbox / 50 x sh -c true");
        let baseline = summary(&baseline).wall;
        table.add(&what, baseline, summary(&ours), 50, "6 ms a step");

        let raw = format!(
            "seq 50 | xargs -P {jobs} -I % docker run --rm --network host $IMAGE sh -c true"
        );
        let [raw, docker, sandbox] = turns(
            FEW,
            [
                &mut || script(stage, &raw),
                &mut || both.on_docker(stage, &args),
                &mut || both.on_sandbox(stage, &args),
            ],
        )?;
        let what = format!("50 independent, -j {jobs}, on docker / docker run --rm");
        table.add(&what, raw.wall, docker, 50, "");
        let what = format!("50 independent, -j {jobs}, on docker / on the sandbox");
        table.add(&what, sandbox.wall, docker, 50, "at least 40 x");
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
    let both = Both::new(&text)?;
    let raw = "docker run --name $NAME $IMAGE sh -c 'head -c 200000000 /dev/zero > /big'
        docker commit $NAME $NAME
        docker rm $NAME
        seq 8 | xargs -P 8 -I % docker run --rm --network host $NAME test -s /big";
    let [raw, docker, sandbox] = turns(
        FEW,
        [
            &mut || {
                let took = script(stage, raw)?;
                script(stage, "docker rmi $NAME")?;
                Ok(took)
            },
            &mut || both.on_docker(stage, &["-j", "8"]),
            &mut || both.on_sandbox(stage, &["-j", "8"]),
        ],
    )?;
    let what = "8 steps from a snapshot of 200 MB, on docker / docker run, commit, run --rm";
    table.add(what, raw.wall, docker, 9, "");
    let what = "8 steps from a snapshot of 200 MB, on docker / on the sandbox";
    table.add(what, sandbox.wall, docker, 9, "");
    Ok(())
}

pub fn source(stage: &Stage, table: &mut Table) -> Result<()> {
    let text = plan::toml(1, false, "true");
    let (empty, mut full) = (Both::new(&text)?, Both::new(&text)?);
    full.sandbox = full.sandbox.with_files_of(20_000, 10_000)?;
    full.on_sandbox(stage, &[])?;
    let (baseline, ours) = pairs(
        MANY,
        || empty.on_sandbox(stage, &[]),
        || full.on_sandbox(stage, &[]),
    )?;
    let (baseline, ours) = (summary(&baseline), summary(&ours));
    let what = "a step over 20,000 files, 200 MB, unchanged / over none";
    table.add(what, baseline.wall, ours, 1, "100 ms over");
    let what = "peak memory over 20,000 files, unchanged / over none";
    table.add_bytes(what, baseline.peak, ours.peak, 0);
    if stage.docker.is_err() {
        return Ok(());
    }
    full.docker = full.docker.with_files_of(20_000, 10_000)?;
    full.on_docker(stage, &[])?;
    let [baseline, ours] = turns(
        MANY,
        [&mut || empty.on_docker(stage, &[]), &mut || {
            full.on_docker(stage, &[])
        }],
    )?;
    table.add("the same on docker", baseline.wall, ours, 1, "100 ms over");
    Ok(())
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
    let ours = || process(&mut project.run(&stage.hm, &["-j", "1"]));
    let (raw, ours) = pairs(MANY, raw, ours)?;
    let what = "50 independent, -j 1, on the sandbox / 50 x bwrap";
    table.add(what, crate::measure::median(raw), summary(&ours), 50, "");
    Ok(())
}

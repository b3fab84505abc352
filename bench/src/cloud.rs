//! Logs of a build in the cloud, against `curl` fetching the same streams.

use std::fs::File;
use std::io::Write;
use std::num::NonZeroU64;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use hm_fake_cloud::{Config, FakeCloud, Oddities, Played, Script};

use crate::measure::{Process, process, turns};
use crate::project::Project;
use crate::table::Table;

/// Jobs of a build, and lines of each. Between the last two only the lines grow: memory that
/// is flat is the same for both.
const BUILDS: [(usize, usize); 3] = [(100, 1_000), (1_000, 100), (1_000, 1_000)];

const TOKEN: &str = "token-of-the-bench";

/// As many streams at a time as hm has.
const PARALLEL: &str = "56";

/// Bytes a second of a link of 1 Gbit/s: faster than the way to the service is for nearly all
/// who use it.
const LINK: Option<NonZeroU64> = NonZeroU64::new(125_000_000);

/// Fetches and shows the logs of a build that has ended.
pub fn logs(hm: &Path, table: &mut Table) -> Result<()> {
    let cloud = serve(None)?;
    let mut peaks = Vec::new();
    for (jobs, lines) in BUILDS {
        let [curl, parallel, rounds] = fetch(hm, &cloud, jobs, lines)?;
        let what = format!("{jobs} jobs, {} lines from the cloud / curl", jobs * lines);
        table.add(&what, curl.wall, rounds, jobs as u32, "1.2 x");
        let what = format!("the same / curl --parallel-max {PARALLEL}");
        table.add(&what, parallel.wall, rounds, jobs as u32, "1.2 x");
        peaks.push(rounds.peak as f64);
    }
    if let [.., few, many] = peaks[..] {
        println!("memory for 10 x the lines: {:.2} x", many / few.max(1.0));
    }
    cloud.stop();
    let cloud = serve(LINK)?;
    let [.., (jobs, lines)] = BUILDS;
    let [_, parallel, rounds] = fetch(hm, &cloud, jobs, lines)?;
    let what = format!("the same over 1 Gbit/s / curl --parallel-max {PARALLEL}");
    table.add(&what, parallel.wall, rounds, jobs as u32, "1.2 x");
    cloud.stop();
    Ok(())
}

/// Starts a service whose jobs have printed as many lines as their command says.
fn serve(log_bytes_per_second: Option<NonZeroU64>) -> Result<FakeCloud> {
    let workload = Played::new(|job| {
        let lines = job.command.parse().unwrap_or(0);
        let line = |line: usize| format!("line {line} of a log that is about as wide as most");
        Script::lines((0..lines).map(line), 0)
    });
    let mut config = Config::new(TOKEN, Arc::new(workload));
    config.oddities = Oddities {
        // `curl` waits for the end of a stream, which the real service tells 15 s late.
        idle_ms: 1,
        log_bytes_per_second,
        ..Oddities::default()
    };
    FakeCloud::start(config)
}

/// Returns the medians of `curl` with one stream after the other, of `curl` with many at a
/// time, and of hm. All write what they fetch into a file.
fn fetch(hm: &Path, cloud: &FakeCloud, jobs: usize, lines: usize) -> Result<[Process; 3]> {
    let mut pipeline = "image = \"host\"\n".to_owned();
    for job in 0..jobs {
        pipeline += &format!("[steps.s{job}]\nrun = \"{lines}\"\n");
    }
    let project = Project::new(&pipeline)?;
    let call = |args: &[&str]| {
        let mut command = project.hm(hm, args);
        command
            .env("HM_API_URL", cloud.url())
            .env("HM_API_TOKEN", TOKEN)
            .env("HM_ORG", "acme");
        command
    };
    let slug = format!("of-{jobs}-{lines}");
    let config = format!("[cloud]\npipeline = \"{slug}\"\n");
    std::fs::write(project.root().join(".hm/config.toml"), config)?;
    process(call(&["run", "--backend", "cloud", "-q"]).stdout(Stdio::null()))?;
    let urls = project.file("urls");
    write_urls(&urls, cloud, &slug, jobs)?;
    let (out, fetched) = (project.file("lines"), project.file("streams"));
    let watch = ["cloud", "build", "watch", "-p", &slug, "1"];
    let curl = |more: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-N", "-K"]).arg(&urls).args(more);
        // Its meter is printed whatever it is told.
        process(curl.stdout(File::create(&fetched)?).stderr(Stdio::null()))
    };
    let medians = turns(
        5,
        [
            &mut || curl(&[]),
            &mut || curl(&["--parallel", "--parallel-max", PARALLEL]),
            &mut || process(call(&watch).stdout(File::create(&out)?)),
        ],
    )?;
    let came = std::fs::read_to_string(&out)?;
    let came = came
        .lines()
        .filter(|line| line.contains(" of a log that "))
        .count();
    ensure!(
        came == jobs * lines,
        "{came} lines came of {}",
        jobs * lines
    );
    Ok(medians)
}

/// Writes what `curl` is to fetch.
fn write_urls(path: &Path, cloud: &FakeCloud, slug: &str, jobs: usize) -> Result<()> {
    let place = format!(
        "{}/api/v1/organizations/acme/pipelines/{slug}/builds/1/log-token",
        cloud.url()
    );
    let answer = Command::new("curl")
        .args([
            "-sf",
            "-H",
            &format!("authorization: Bearer {TOKEN}"),
            &place,
        ])
        .output()
        .context("curl is the baseline")?;
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout)?;
    let token = answer["token"].as_str().context("the build is there")?;
    let mut file = File::create(path)?;
    let known = cloud.jobs(slug, 1);
    ensure!(known.len() == jobs, "{} jobs of {jobs}", known.len());
    for job in &known {
        let id = job["id"].as_str().context("a job has an id")?;
        writeln!(
            file,
            "url = \"{}/v1/jobs/{id}/logs?token={token}\"",
            cloud.url()
        )?;
    }
    Ok(())
}

//! `hm cloud` and `hm run --backend cloud`, from outside, against Harmont's cloud on loopback.

mod account;
mod builds;
mod cancel;
mod conformance;
mod login;
mod logs;
mod parity;
mod refusals;
mod run;
mod soak;
mod submission;

use std::sync::Arc;

use hm_fake_cloud::{Config, FakeCloud, JobRun, Played, Script, Versions};
use hm_tests::{Invocation, Project};

const TOKEN: &str = "secret-token-of-this-test";

/// A service whose jobs print what their `echo` commands say, and pass. Its log streams end
/// as late as the real one's: who waits for them fails by the limit of a test.
fn echoing() -> Config {
    Config::new(TOKEN, Arc::new(Played::new(echo)))
}

/// Plays a script, a line at a time: `echo TEXT` with its `$NAME`s, `err TEXT`, `sleep SECONDS`, `exit N`.
fn echo(job: &JobRun) -> Script {
    let mut script = Script::default();
    let mut said = Vec::new();
    for line in job.command.lines() {
        match line.split_once(' ') {
            Some(("echo", text)) => {
                let mut text = text.to_owned();
                for (name, value) in &job.env {
                    text = text.replace(&format!("${name}"), value);
                }
                said.push((0, format!("{text}\n").into()));
            }
            Some(("err", text)) => said.push((1, format!("{text}\n").into())),
            Some(("sleep", seconds)) => {
                script.after = std::time::Duration::from_secs_f64(seconds.parse().unwrap());
            }
            Some(("pause", seconds)) => {
                script.pause = std::time::Duration::from_secs_f64(seconds.parse().unwrap());
            }
            Some(("exit", code)) => {
                script.ended = hm_fake_cloud::Ended::Exited(code.parse().unwrap())
            }
            _ => {}
        }
    }
    script.chunks = Box::new(said.into_iter());
    script
}

fn start(config: Config) -> FakeCloud {
    FakeCloud::start(config).expect("loopback has a free port")
}

/// A project that is logged in by variables.
fn project(cloud: &FakeCloud, pipeline: &str) -> Project {
    Project::toml(pipeline)
        .env_for_all("HM_API_URL", cloud.url())
        .env_for_all("HM_API_TOKEN", TOKEN)
}

/// `hm run --backend cloud`, with the same image for all.
fn run(project: &Project) -> Invocation {
    project.run().args(["--backend", "cloud"])
}

/// Checks that every request followed the description.
#[track_caller]
fn assert_well_behaved(cloud: &FakeCloud) {
    assert_eq!(cloud.journal().violations(), [""; 0]);
}

/// Tries cases beside each other: what they take is mostly waiting.
fn each<T: Sync>(cases: &[T], check: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        let check = &check;
        for case in cases {
            scope.spawn(move || check(case));
        }
    });
}

/// Two steps in a chain.
const CHAIN: &str = "image = \"host\"\n[steps.one]\nrun = \"echo first\"\n\
                     [steps.two]\nfrom = \"one\"\nrun = \"echo second\"\n";

/// Either version alone.
const VERSIONS: [Versions; 2] = [Versions::V0, Versions::V1];

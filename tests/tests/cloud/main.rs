//! `hm cloud`, from outside, against Harmont's cloud on loopback.

mod account;
mod login;

use std::sync::Arc;

use hm_fake_cloud::{Config, FakeCloud, JobRun, Played, Script, Versions};

const TOKEN: &str = "secret-token-of-this-test";

/// A service whose jobs print what their `echo` commands say, and pass.
fn echoing() -> Config {
    Config::new(TOKEN, Arc::new(Played::new(echo)))
}

/// Plays `echo TEXT`, once a line of the command; `exit N` ends it.
fn echo(job: &JobRun) -> Script {
    let lines = job.command.lines();
    let said = lines
        .clone()
        .filter_map(|line| line.strip_prefix("echo "))
        .map(str::to_owned);
    let mut codes = lines.filter_map(|line| line.strip_prefix("exit "));
    let code = codes.find_map(|code| code.parse().ok());
    Script::lines(said.collect::<Vec<_>>(), code.unwrap_or(0))
}

fn start(config: Config) -> FakeCloud {
    FakeCloud::start(config).expect("loopback has a free port")
}

/// Checks that every request followed the description.
#[track_caller]
fn assert_well_behaved(cloud: &FakeCloud) {
    assert_eq!(cloud.journal().violations(), [""; 0]);
}

/// Two steps in a chain.
const CHAIN: &str = "image = \"host\"\n[steps.one]\nrun = \"echo first\"\n\
                     [steps.two]\nfrom = \"one\"\nrun = \"echo second\"\n";

/// Either version alone.
const VERSIONS: [Versions; 2] = [Versions::V0, Versions::V1];

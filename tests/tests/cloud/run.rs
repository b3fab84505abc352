//! `hm run --backend cloud`: the same pipeline, the same events.

use std::collections::BTreeSet;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hm_fake_cloud::{Config, Exchange, FakeCloud, Oddities, Operation};
use serde_json::Value;

use super::{CHAIN, VERSIONS, assert_well_behaved, each, echoing, project, run, start};

/// Returns the exchanges of an operation.
pub(crate) fn exchanges(cloud: &FakeCloud, operation: Operation) -> Vec<Exchange> {
    let all = cloud.journal().exchanges();
    all.into_iter()
        .filter(|exchange| exchange.operation == Some(operation))
        .collect()
}

/// Returns the body that made the only build.
#[track_caller]
pub(crate) fn submitted(cloud: &FakeCloud) -> Value {
    let mut made = exchanges(cloud, Operation::CreateBuild);
    assert_eq!(made.len(), 1, "{made:#?}");
    made.remove(0).body.expect("it is JSON")
}

/// Unpacks an archive in base64, and returns the names in it.
fn names(base64: &str) -> BTreeSet<String> {
    let bytes = STANDARD.decode(base64).expect("padded, without line ends");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            let mut entry = entry.unwrap();
            std::io::copy(&mut entry.by_ref(), &mut std::io::sink()).unwrap();
            entry.path().unwrap().display().to_string()
        })
        .collect()
}

#[test]
fn a_pipeline_runs_in_either_version_and_the_second_time_too() {
    each(&VERSIONS, |&versions| {
        let cloud = start(Config {
            versions,
            ..echoing()
        });
        let project = project(&cloud, CHAIN).file("src/main.rs", "fn main() {}");
        for number in 1..=2 {
            let build = run(&project).run().expect(0).build();
            build.assert_ends(&[]);
            assert_eq!(build.step("one").stdout(), ["first"]);
            assert_eq!(build.step("two").stdout(), ["second"]);
            build.assert_order("one", "two");
            let accepted = &build.events[0];
            assert_eq!(accepted["kind"], "build_accepted");
            assert_eq!(accepted["build"]["number"], number);
            let url = format!("{}/acme/pipelines/ci/builds/{number}", cloud.url());
            assert_eq!(accepted["watch_url"], url);
        }
        assert_eq!(cloud.builds("ci"), 2);
        // The component may set no credential, and need not: the host does.
        let all = cloud.journal().exchanges();
        assert!(all.iter().all(|exchange| exchange.status != Some(401)));
        assert_well_behaved(&cloud);
    });
}

#[test]
fn plan_and_source_go_complete() {
    let cloud = start(echoing());
    let pipeline = "image = \"host\"\n[env]\nLEVEL = \"pipeline\"\n[steps.one]\nrun = \"echo hi\"\nenv = { STEP = \"s\" }\n";
    let project = project(&cloud, pipeline)
        .file("src/main.rs", "fn main() {}")
        .file(".gitignore", "*.log\n")
        .file("big.log", "x");
    run(&project)
        .args(["-e", "MORE=1", "-m", "why", "-b", "topic"])
        .run()
        .expect(0);
    let body = submitted(&cloud);
    let plan: Value = serde_json::from_str(body["pipeline_ir"].as_str().unwrap()).unwrap();
    let node = &plan["graph"]["nodes"][0];
    assert_eq!(
        node["env"],
        serde_json::json!({"LEVEL": "pipeline", "MORE": "1", "STEP": "s"}),
        "the service knows no other environment"
    );
    assert_eq!(body["branch"], "topic");
    assert!(body["message"].as_str().unwrap().starts_with("why\n"));
    let names = names(body["source_b64"].as_str().unwrap());
    assert!(names.contains("src/main.rs"), "{names:?}");
    assert!(
        !names
            .iter()
            .any(|name| name.contains("big.log") || name.starts_with(".hm"))
    );
    assert_well_behaved(&cloud);
}

#[test]
fn a_failure_skips_what_waits_for_it_and_is_told_with_its_code() {
    let cloud = start(echoing());
    let pipeline = "image = \"host\"\n[steps.bad]\nrun = \"\"\"echo before\nerr oh no\nexit 3\"\"\"\n\
                    [steps.after]\nfrom = \"bad\"\nrun = \"echo never\"\n\
                    [steps.beside]\nrun = \"echo beside\"\n";
    let project = project(&cloud, pipeline);
    let build = run(&project).run().expect(1).build();
    build.assert_ends(&[("bad", "failed", Some(3)), ("after", "skipped", None)]);
    assert_eq!(build.step("bad").stdout(), ["before"]);
    assert_eq!(build.step("bad").stderr(), ["oh no"]);
    assert_eq!(build.step("beside").stdout(), ["beside"]);
    assert_well_behaved(&cloud);
    // The service goes on past a failure as it is: there is no flag to ask for that.
    let call = project.hm(["run", "--backend", "cloud", "--format", "human"]);
    let said = call
        .run()
        .expect(1)
        .says(&["run it again: hm run ci --backend cloud"]);
    assert!(!said.errors().contains(" -k"), "{}", said.said());
}

#[test]
fn states_that_nobody_knows_change_nothing() {
    let oddities = Oddities {
        unknown_states: true,
        exit_code_on_pass: true,
        clock_skew_seconds: -7_200,
        ..Oddities::default()
    };
    let cloud = start(Config {
        oddities,
        ..echoing()
    });
    let build = run(&project(&cloud, CHAIN)).run().expect(0).build();
    build.assert_ends(&[]);
    build.assert_order("one", "two");
}

#[test]
fn without_a_watch_only_the_submission_is_told() {
    let cloud = start(echoing());
    let project = project(
        &cloud,
        "[steps.one]\nimage = \"host\"\nrun = \"sleep 600\"\n",
    );
    let call = project.hm([
        "run",
        "--backend",
        "cloud",
        "--no-watch",
        "--format",
        "plain",
    ]);
    let said = call.run().expect(0);
    let url = format!("{}/acme/pipelines/ci/builds/1", cloud.url());
    assert!(said.text().contains(&url), "{}", said.said());
    let ends = ["ms submitted\n", "`hm cloud build watch -p ci 1`"];
    for end in ends {
        assert!(said.text().contains(end), "no {end:?} in {}", said.said());
    }
    assert!(!said.text().contains("passed"), "{}", said.said());
    let jobs = cloud.journal().count(Operation::ListJobs);
    assert_eq!(
        (jobs, cloud.journal().count(Operation::CancelBuild)),
        (0, 0)
    );
    // Where the steps run here, there is nothing to leave.
    let call = project.hm(["run", "--no-watch"]);
    call.run().expect(2).says(&["--backend cloud --no-watch"]);
}

#[test]
fn secrets_go_to_the_cloud_by_name_only() {
    let cloud = start(echoing());
    let pipeline = "[steps.one]\nimage = \"host\"\nrun = \"echo the word is $WORD\"\n\
                    env = { WORD = \"hm-secret:WORD\" }\n";
    let project = project(&cloud, pipeline).env_for_all("WORD", "open-sesame");
    let says = ["WORD", "[cloud]", "secrets = [\"WORD\"]"];
    run(&project)
        .args(["--secret", "WORD"])
        .run()
        .expect(6)
        .says(&says);
    assert!(cloud.journal().is_empty());
    let text = "[cloud]\nsecrets = [\"WORD\"]\n";
    std::fs::write(project.config().join("config.toml"), text).unwrap();
    let said = run(&project).args(["--secret", "WORD"]).run().expect(0);
    assert!(!said.text().contains("open-sesame"), "{}", said.said());
    let ir = submitted(&cloud)["pipeline_ir"].to_string();
    assert!(ir.contains("open-sesame"), "{ir}");
    assert!(!project.everything_kept().contains("open-sesame"));
}

//! Two `hm` at once: what one builds, the other waits for.

use hm_tests::{Project, Running, assert_nothing_left};
use rustix::process::Signal;

const WAITING: &str = "waiting for another hm that builds this step";

/// A project whose cached step ends when the test opens a gate, which it sees in a folder
/// that is lent to machines.
fn gated(last: &str) -> Project {
    let project = Project::new();
    let gate = project.config().join("gate");
    std::fs::create_dir(&gate).unwrap();
    std::fs::write(
        project.config().join("config.toml"),
        format!("[host]\nexpose = [\"{}\"]\n", gate.display()),
    )
    .unwrap();
    let gate = gate.display();
    project.file(
        ".hm/ci.toml",
        format!(
            "image = \"host\"\n[steps.tool]\ncache = \"forever\"\n\
             run = \"echo up; until [ -e {gate}/open ]; do sleep 0.05; done; echo built > tool; {last}\"\n\
             [steps.use]\nfrom = \"tool\"\nrun = \"cat tool\"",
        ),
    )
}

fn open(project: &Project) {
    std::fs::write(project.config().join("gate/open"), "").unwrap();
}

/// Starts one that builds, and one that waits for it.
fn two(project: &Project) -> (Running, Running) {
    let first = project.run().beside_others().start();
    first.wait_for("\"line\":\"up\"");
    let second = project.run().beside_others().start();
    second.wait_for(WAITING);
    (first, second)
}

#[test]
fn two_at_once_run_the_expensive_step_once() {
    let project = gated("true");
    let (first, second) = two(&project);
    open(&project);
    let first = first.wait().expect(0).build();
    let second = second.wait().expect(0).build();
    assert!(!first.step("tool").is_cached && second.step("tool").is_cached);
    for build in [&first, &second] {
        assert_eq!(build.step("use").stdout(), ["built"]);
    }
    let told: Vec<_> = second
        .events
        .iter()
        .filter(|event| event["message"] == WAITING)
        .collect();
    assert_eq!(told.len(), 1, "said once");
    assert_eq!(
        told[0]["step"].as_u64(),
        Some(0),
        "under the step: {}",
        told[0]
    );
    assert_nothing_left(project.state());
}

#[test]
fn if_the_first_is_killed_the_second_builds() {
    let project = gated("true");
    let (first, second) = two(&project);
    first.signal(Signal::KILL);
    assert_eq!(first.wait().signal(), Some(9));
    second.wait_for("\"line\":\"up\"");
    open(&project);
    let second = second.wait().expect(0).build();
    assert!(!second.step("tool").is_cached);
    assert_eq!(second.step("use").stdout(), ["built"]);
    // The second had started before the first died, so that the next start cleans up.
    assert!(project.run().run().expect(0).build().step("tool").is_cached);
}

#[test]
fn if_the_first_is_cancelled_the_second_builds() {
    let project = gated("true");
    let (first, second) = two(&project);
    first.signal(Signal::INT);
    first.wait().expect(130);
    second.wait_for("\"line\":\"up\"");
    open(&project);
    assert!(!second.wait().expect(0).build().step("tool").is_cached);
}

#[test]
fn if_it_fails_for_the_first_the_second_tries_itself() {
    let project = gated("exit 3");
    let (first, second) = two(&project);
    open(&project);
    for running in [first, second] {
        let build = running.wait().expect(1).build();
        assert_eq!(build.step("tool").exit_code, Some(3));
        assert_eq!(build.step("tool").stdout(), ["up"], "it ran");
    }
}

#[test]
fn who_waits_can_be_cancelled_and_times_out() {
    let project = gated("true");
    let (first, second) = two(&project);
    second.signal(Signal::INT);
    let second = second.wait().expect(130).build();
    assert_eq!(second.step("tool").status, "cancelled");
    let third = project.run().args(["--timeout", "1s"]).beside_others();
    let third = third.run().expect(124).build();
    assert_eq!(third.step("tool").started, None, "it only waited");
    open(&project);
    assert!(!first.wait().expect(0).build().step("tool").is_cached);
}

/// The document names the same key twice: one step is built, the other takes it over, and
/// with a single slot nothing hangs.
#[test]
fn two_steps_of_one_build_share_a_key() {
    let node = |key: &str| {
        format!(
            "{{\"step\": {{\"key\": \"{key}\", \"cmd\": \"sleep 0.3; echo one > tool; echo ran\", \
             \"image\": \"host\", \"cache\": {{\"policy\": \"forever\", \"key\": \"same\"}}}}, \"env\": {{}}}}"
        )
    };
    let document = format!(
        "{{\"version\": \"0\", \"graph\": {{\"nodes\": [{}, {}], \"node_holes\": [], \
         \"edge_property\": \"directed\", \"edges\": []}}}}",
        node("a"),
        node("b")
    );
    for jobs in ["1", "2"] {
        let project = Project::new().file("twice.json", &document);
        let build = project
            .run()
            .args(["--file", "twice.json", "-j", jobs])
            .run()
            .expect(0)
            .build();
        let cached = build.steps().filter(|(_, step)| step.is_cached).count();
        assert_eq!(cached, 1, "with -j {jobs}");
    }
}

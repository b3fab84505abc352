//! Cancelling: what runs, once, and never what has ended.

use hm_fake_cloud::{Action, Config, FakeCloud, Fault, Oddities, Operation};
use hm_tests::{Project, Running};
use rustix::process::Signal;

use super::{CHAIN, assert_well_behaved, each, echoing, project, run, start};

const LONG: &str = "image = \"host\"\n[steps.one]\nrun = \"\"\"echo up\nsleep 600\n\"\"\"\n\
                    [steps.two]\nfrom = \"one\"\nrun = \"echo never\"\n";

fn started(cloud: &FakeCloud) -> (Project, Running) {
    let project = project(cloud, LONG);
    let running = run(&project).start();
    running.wait_for("\"line\":\"up\"");
    (project, running)
}

#[test]
fn an_interrupt_cancels_the_build_at_the_service_once() {
    // A build whose state never leaves `canceling` is over with its jobs.
    each(&[false, true], |&endless_canceling| {
        let cloud = start(Config {
            oddities: Oddities {
                endless_canceling,
                ..Oddities::default()
            },
            ..echoing()
        });
        let (_project, running) = started(&cloud);
        running.signal(Signal::INT);
        let build = running.wait().expect(130).build();
        assert_eq!(build.status, "cancelled");
        for key in ["one", "two"] {
            assert_eq!(build.step(key).status, "cancelled", "{key}");
        }
        assert_eq!(build.step("one").stdout(), ["up"]);
        assert_eq!(cloud.journal().count(Operation::CancelBuild), 1);
        assert_well_behaved(&cloud);
    });
}

#[test]
fn a_cancel_that_is_lost_is_sent_again_after_a_look() {
    let actions = [Action::Drop, Action::LoseAnswer, Action::status(503)];
    each(&actions, |action| {
        let cloud = start(echoing());
        cloud.script(vec![Fault::on(Operation::CancelBuild, action.clone())]);
        let (_project, running) = started(&cloud);
        running.signal(Signal::INT);
        running.wait().expect(130);
        let state = cloud.build("ci", 1)["state"].clone();
        assert_eq!(state, "canceled", "{action:?}");
    });
}

#[test]
fn an_interrupt_during_the_submission_leaves_no_build_that_runs() {
    let cloud = start(echoing());
    cloud.script(vec![Fault::on(
        Operation::CreateBuild,
        Action::Delay(1_500),
    )]);
    let project = project(&cloud, LONG);
    let running = run(&project).start();
    while cloud.journal().count(Operation::GetPipeline) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    running.signal(Signal::INT);
    running.wait().expect(130);
    if cloud.builds("ci") > 0 {
        let state = cloud.build("ci", 1)["state"].clone();
        assert!(
            ["canceling", "canceled"].contains(&state.as_str().unwrap()),
            "{state}"
        );
    }
}

#[test]
fn a_build_that_has_ended_is_not_cancelled() {
    let cloud = start(echoing());
    let project = project(&cloud, CHAIN);
    run(&project).run().expect(0);
    let call = project.hm(["cloud", "build", "cancel", "-p", "ci", "1"]);
    let said = call.run().expect(0);
    assert!(
        said.text().contains("has ended already: passed"),
        "{}",
        said.said()
    );
    assert_eq!(cloud.journal().count(Operation::CancelBuild), 0);
    assert_eq!(cloud.build("ci", 1)["state"], "passed");
}

#[test]
fn a_timeout_cancels_too() {
    let cloud = start(echoing());
    let project = project(&cloud, LONG);
    let build = run(&project)
        .args(["--timeout", "3s"])
        .run()
        .expect(124)
        .build();
    assert_eq!(build.status, "timed_out");
    assert_eq!(cloud.journal().count(Operation::CancelBuild), 1);
}

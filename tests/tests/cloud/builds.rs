//! `hm cloud build`, `job` and `run`: what is there, watched and read.

use hm_tests::{Finished, Project};
use rustix::process::Signal;
use serde_json::Value;

use hm_fake_cloud::{Config, FakeCloud, Operation};

use super::{CHAIN, VERSIONS, assert_well_behaved, each, echoing, project, run, start};

#[track_caller]
fn cloud(project: &Project, words: &[&str], code: i32) -> Finished {
    project.hm(["cloud"]).args(words).run().expect(code)
}

#[track_caller]
fn json(project: &Project, words: &[&str]) -> Value {
    let call = project.hm(["cloud", "--format", "json"]).args(words);
    let said = call.run().expect(0);
    serde_json::from_str(&said.text()).unwrap_or_else(|error| panic!("{error}\n{}", said.said()))
}

#[test]
fn builds_and_jobs_are_listed_shown_and_read() {
    each(&VERSIONS, |&versions| {
        let service = start(Config {
            versions,
            ..echoing()
        });
        let project = project(&service, CHAIN);
        run(&project).args(["-m", "first of all"]).run().expect(0);
        let list = cloud(&project, &["build", "list", "-p", "ci"], 0).text();
        assert!(list.starts_with("#1  passed"), "{list}");
        assert_eq!(
            json(&project, &["build", "list", "-p", "ci"])[0]["number"],
            1
        );
        let shown = cloud(&project, &["build", "show", "-p", "ci"], 0).text();
        for word in ["first of all", "passed", "one", "two"] {
            assert!(shown.contains(word), "{shown}");
        }
        let shown = json(&project, &["build", "show", "-p", "ci", "1"]);
        assert_eq!(shown["jobs"][1]["step_key"], "two");
        let page = cloud(&project, &["build", "open", "-p", "ci", "--no-browser"], 0).text();
        assert!(page.ends_with("/acme/pipelines/ci/builds/1\n"), "{page}");
        let jobs = json(&project, &["job", "list", "-p", "ci", "-b", "1"]);
        assert_eq!(jobs[0]["step_key"], "one");
        let job = json(&project, &["job", "show", "-p", "ci", "-b", "1", "two"]);
        assert_eq!(job["state"], "passed");
        let log = cloud(&project, &["job", "log", "-p", "ci", "two"], 0).text();
        assert_eq!(log, "second\n");
        let says = ["no job `tow`", "did you mean `two`?"];
        cloud(&project, &["job", "log", "-p", "ci", "tow"], 5).says(&says);
        assert_well_behaved(&service);
    });
}

#[test]
fn any_build_is_watched_as_if_it_were_ones_own() {
    let service = start(echoing());
    let pipeline = "image = \"host\"\n[steps.one]\nrun = \"\"\"echo up\nsleep 2\n\"\"\"\n\
                    [steps.two]\nfrom = \"one\"\nlabel = \"The second\"\nrun = \"\"\"echo late\nexit 4\"\"\"\n";
    let project = project(&service, pipeline);
    run(&project).arg("--no-watch").run().expect(0);
    let words = ["build", "watch", "-p", "ci", "--format", "json"];
    let said = cloud(&project, &words, 1);
    let build = said.build();
    build.assert_ends(&[("two", "failed", Some(4))]);
    assert_eq!(build.step("two").display_name, "The second");
    assert_eq!(build.step("two").stdout(), ["late"]);
    // And once more, when all is over.
    let again = cloud(
        &project,
        &["build", "watch", "-p", "ci", "1", "--format", "json"],
        1,
    );
    again.build().assert_ends(&[("two", "failed", Some(4))]);
    assert_eq!(service.builds("ci"), 1);
    assert_well_behaved(&service);
}

#[test]
fn who_stops_watching_does_not_cancel() {
    let service = start(echoing());
    let project = project(
        &service,
        "[steps.one]\nimage = \"host\"\nrun = \"\"\"echo up\nsleep 600\n\"\"\"\n",
    );
    run(&project).arg("--no-watch").run().expect(0);
    let words = ["cloud", "build", "watch", "-p", "ci", "--format", "json"];
    let running = project.hm(words).start();
    running.wait_for("\"line\":\"up\"");
    running.signal(Signal::INT);
    running.wait().expect(130);
    assert_eq!(service.journal().count(Operation::CancelBuild), 0);
    cloud(&project, &["build", "cancel", "-p", "ci", "1"], 0);
    assert_eq!(service.build("ci", 1)["state"], "canceled");
}

fn submitted(service: &FakeCloud) -> Value {
    let all = service.journal().exchanges();
    let mut made = all
        .into_iter()
        .filter(|exchange| exchange.operation == Some(Operation::CreateBuild));
    made.next()
        .and_then(|made| made.body)
        .expect("a submission")
}

#[test]
fn a_document_is_submitted_without_a_source() {
    let service = start(echoing());
    let project = project(&service, CHAIN).file("big.txt", "not to be sent");
    let document = project.hm(["render", "ci"]).run().expect(0).stdout;
    project.write("plan.json", document);
    let call = project.hm(["cloud", "run", "nightly", "--format", "json"]);
    let said = call.env("HM_RUN_ENV_LEVEL", "7").run().expect(0);
    said.build().assert_ends(&[]);
    assert_eq!(service.builds("nightly"), 1);
    let body = submitted(&service);
    assert!(body["pipeline_ir"].as_str().unwrap().contains("\"LEVEL\""));
    assert_eq!(body["branch"], "main");
    let call = project.hm(["cloud", "run", "nightly", "--plan-file", "no.json"]);
    call.run().expect(2).says(&["hm render"]);
}

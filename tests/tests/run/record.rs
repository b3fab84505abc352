//! The record of a run on disk.

use hm_tests::Project;

#[test]
fn the_record_is_what_json_shows() {
    let project = Project::toml(
        "image = \"host\"\n[steps.a]\nrun = \"echo one; echo two >&2; printf 'no end'\"\n\
         [steps.bad]\nneeds = [\"a\"]\nrun = \"exit 4\"\n[steps.after]\nfrom = \"bad\"\nrun = \"true\"",
    );
    let finished = project.run().run().expect(1);
    let records = project.records();
    assert_eq!(records.len(), 1);
    let record = std::fs::read(records[0].join("events.jsonl")).unwrap();
    assert_eq!(String::from_utf8(record).unwrap(), finished.text());
    let build = finished.build();
    assert_eq!(
        records[0].file_name().unwrap().to_str(),
        build.events[0]["run_id"].as_str()
    );
}

#[test]
fn every_format_leaves_the_same_record() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo one; echo two\"");
    let mut lines = Vec::new();
    for format in ["json", "plain", "human"] {
        project.hm(["run", "--format", format]).run().expect(0);
        let record = std::fs::read(project.records().last().unwrap().join("events.jsonl")).unwrap();
        let build = hm_tests::Build::read(&record).unwrap();
        lines.push(build.step("a").lines.clone());
    }
    assert_eq!(lines[0], lines[1]);
    assert_eq!(lines[0], lines[2]);
}

#[test]
fn runs_are_listed_and_their_logs_printed() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo one; echo two >&2\"");
    project.run().run().expect(0);
    let listed = project.hm(["runs"]).run().expect(0).text();
    assert!(
        listed.contains("ci") && listed.contains("passed"),
        "{listed}"
    );
    let log = project.hm(["logs"]).run().expect(0).text();
    assert!(log.contains("one") && log.contains("two"), "{log}");
}

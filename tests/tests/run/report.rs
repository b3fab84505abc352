//! `--report` and `--format github`: what other systems make of a build.

use hm_tests::Project;

const FAILS: &str = "image = \"host\"\n[steps.good]\nrun = \"echo fine\"\n\
    [steps.bad]\nneeds = [\"good\"]\nrun = \"echo '::error::forged'; echo 'a < b'; exit 3\"\n\
    [steps.after]\nfrom = \"bad\"\nrun = \"true\"";

#[test]
fn reports_are_written_in_every_format() {
    let project = Project::toml(FAILS);
    let flags = [
        "junit=out/build.xml",
        "html=out/build.html",
        "json=out/build.json",
    ];
    project.write("out/.keep", "");
    let mut run = project.run();
    for flag in flags {
        run = run.args(["--report", flag]);
    }
    run.run().expect(1);
    let read = |name: &str| std::fs::read_to_string(project.path().join("out").join(name)).unwrap();
    let junit = read("build.xml");
    assert!(
        junit.contains("tests=\"3\"") && junit.contains("failures=\"1\""),
        "{junit}"
    );
    assert!(junit.contains("a &lt; b"), "{junit}");
    assert!(read("build.html").contains("a &lt; b"));
    let json: serde_json::Value = serde_json::from_str(&read("build.json")).unwrap();
    assert_eq!(json["status"], "failed");
    assert_eq!(json["steps"][1]["exit_code"], 3);
    assert_eq!(json["steps"][1]["output"], "::error::forged\na < b\n");
    let names = std::fs::read_dir(project.path().join("out")).unwrap();
    assert_eq!(names.count(), 4, "nothing half-written beside them");
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_build() {
    let project = Project::toml(FAILS);
    let finished = project
        .run()
        .args(["--report", "junit=nowhere/build.xml"])
        .run()
        .expect(2);
    finished.says(&["there is no folder nowhere", "to fix:"]);
    assert_eq!(project.records().len(), 0, "nothing ran");
    project
        .run()
        .args(["--report", "pdf=build.pdf"])
        .run()
        .expect(2)
        .says(&["junit, html or json"]);
}

#[test]
fn a_report_on_a_full_disk_is_told_and_the_build_was_seen() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo fine\"");
    let finished = project
        .hm(["run", "--format", "plain", "--report", "json=/dev/full"])
        .run()
        .expect(4);
    let finished = finished.says(&["cannot write the report /dev/full"]);
    assert!(finished.text().contains("[a] fine"), "{}", finished.text());
}

#[test]
fn github_gets_annotations_and_obeys_no_step() {
    let project = Project::toml(FAILS).env_for_all("GITHUB_ACTIONS", "true");
    let text = project.hm(["run"]).run().expect(1).text();
    let token = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("::stop-commands::"));
    let token = token.unwrap_or_else(|| panic!("commands are obeyed in {text}"));
    assert_eq!(token.len(), 32);
    let (log, rest) = text.split_once(&format!("\n::{token}::\n")).unwrap();
    assert!(log.contains("[bad] ::error::forged"), "{log}");
    assert_eq!(
        rest,
        "::error title=bad::exit 3%0A::error::forged%0Aa < b\n"
    );
    let again = project
        .hm(["run", "--format", "plain"])
        .run()
        .expect(1)
        .text();
    assert!(!again.contains("::stop-commands::"), "{again}");
}

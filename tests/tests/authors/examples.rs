//! `examples/backends`, as their readers have them: their own tests, and a real pipeline.

use hm_tests::{Project, example, workspace};

use crate::desk::shell;

#[test]
fn their_own_tests_pass() {
    let project = Project::new();
    let folder = workspace().join("examples/backends");
    let script = format!(
        "for name in echo flaky machines remote; do cargo test --manifest-path {}/$name/Cargo.toml; done",
        folder.display()
    );
    let finished = shell(&project, &script).run();
    let said = finished.errors() + &finished.text();
    assert!(
        said.contains("a_job_that_nobody_waits_for_is_ended ... ok"),
        "{said}"
    );
    finished.expect(0);
}

#[test]
fn each_has_a_page_of_one_screen() {
    let folder = workspace().join("examples/backends");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("they are there") {
        let path = entry.expect("it is being read").path().join("README.md");
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let lines = text.lines().count();
        assert!(lines <= 40, "{} has {lines} lines", path.display());
        assert!(text.contains("hm run --backend"), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 4);
}

#[test]
fn flaky_runs_a_failing_step_again() {
    let project = Project::toml("image = \"host\"\n[steps.test]\nrun = \"exit 7\"\n");
    let component = example("flaky");
    project
        .hm(["backend", "grant"])
        .arg(&component)
        .args(["--vm", "--vm-image", "host"])
        .run()
        .expect(0);
    let finished = project
        .run()
        .arg("--backend")
        .arg(&component)
        .run()
        .expect(1);
    let build = finished.build();
    assert_eq!(build.step("test").exit_code, Some(7));
    let said = |text: &str| {
        let told = |event: &&serde_json::Value| {
            let message = event["message"].as_str();
            message.is_some_and(|message| message.contains(text))
        };
        build.events.iter().filter(told).count()
    };
    // By the backend, and by the host, which counts for itself.
    assert_eq!(
        (said("once more"), said("the one before ended with 7")),
        (2, 2)
    );
}

#[test]
fn echo_asks_for_nothing() {
    let project = Project::toml("image = \"host\"\n[steps.a]\nrun = \"exit 1\"\n");
    let component = example("echo");
    project
        .hm(["backend", "grant"])
        .arg(&component)
        .run()
        .expect(0);
    let finished = project
        .run()
        .arg("--backend")
        .arg(&component)
        .run()
        .expect(0);
    let build = finished.build();
    assert_eq!(build.step("a").status, "passed");
    assert_eq!(build.step("a").lines[0].text, "would run: exit 1");
}

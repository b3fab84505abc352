//! What ends before there is a build: exit codes 2 and 4, with what to do.

use hm_tests::{Project, samples};

const ONE: &str = "[steps.a]\nimage = \"host\"\nrun = \"echo one\"";

#[test]
fn an_image_that_the_engine_lacks() {
    let project = Project::toml("[steps.a]\nimage = \"acme/toolbox:9\"\nrun = \"echo one\"");
    let finished = project
        .run()
        .run()
        .expect(4)
        .says(&["acme/toolbox:9", "--image", "host"]);
    assert!(!finished.text().contains("\"line\""), "{}", finished.text());
}

#[test]
fn an_image_that_is_mapped() {
    let project = Project::toml("[steps.a]\nimage = \"acme/toolbox:9\"\nrun = \"echo one\"");
    project
        .run()
        .args(["--image", "acme/*=host"])
        .run()
        .expect(0);
    project.write(".hm/config.toml", "[images]\n\"acme/*\" = \"host\"\n");
    project.run().run().expect(0);
    project
        .run()
        .args(["--image", "other=host"])
        .run()
        .expect(0);
}

#[test]
fn no_pipelines_here() {
    let project = Project::new();
    let folder = project.path().join(".hm");
    std::fs::remove_dir(&folder).unwrap();
    project.run().run().expect(2).says(&[".hm", "hm init"]);
    std::fs::create_dir(&folder).unwrap();
    project.run().run().expect(2);
    project.assert_nothing_started();
}

#[test]
fn a_pipeline_must_be_chosen() {
    let project = Project::toml(ONE).file(".hm/nightly.toml", ONE);
    project.run().run().expect(2).says(&["ci", "nightly"]);
    project
        .run()
        .arg("nihgtly")
        .run()
        .expect(2)
        .says(&["nihgtly", "ci", "nightly"]);
    project.run().arg("nightly").run().expect(0);
}

#[test]
fn a_document_from_standard_input() {
    let project = Project::new();
    let text = std::fs::read(samples().join("wire-extras.json")).unwrap();
    let run = project
        .run()
        .args(["--image", "*=host", "--file", "-"])
        .stdin(text);
    run.run().expect(0).build().assert_ends(&[]);
}

#[test]
fn a_document_that_is_not_there() {
    let project = Project::new();
    project
        .run()
        .args(["--file", "absent.json"])
        .run()
        .expect(2)
        .says(&["absent.json"]);
}

#[test]
fn flags_that_mean_nothing() {
    let project = Project::toml(ONE);
    for flags in [
        ["--format", "xml"],
        ["--timeout", "soon"],
        ["--image", "nothing"],
        ["-j", "many"],
        ["--wibble", "x"],
    ] {
        let finished = project.run().args(flags).run().expect(2);
        assert!(
            finished.errors().contains(flags[0]),
            "{}",
            finished.errors()
        );
    }
    project
        .run()
        .args(["--backend", "lokal"])
        .run()
        .expect(2)
        .says(&["lokal", "local"]);
    project.assert_nothing_started();
}

#[test]
fn only_typescript_pipelines() {
    let project = Project::new().file(".hm/ci.ts", "export default {}");
    project.run().run().expect(2).says(&[".ts"]);
}

#[test]
fn a_dry_run_runs_nothing() {
    let project = Project::toml(ONE);
    let text = project.hm(["run", "--dry-run"]).run().expect(0).text();
    assert!(text.contains("echo one") && text.contains('a'), "{text}");
    project.assert_nothing_started();
}

#[test]
fn what_there_is_to_run() {
    let project = Project::toml(ONE).file(".hm/nightly.toml", ONE);
    let listed = project.hm(["pipelines"]).run().expect(0).text();
    assert!(
        listed.contains("ci") && listed.contains("nightly"),
        "{listed}"
    );
    let rendered = project.hm(["render", "ci"]).run().expect(0).text();
    let rendered: serde_json::Value = serde_json::from_str(&rendered).unwrap();
    assert_eq!(rendered["graph"]["nodes"][0]["step"]["cmd"], "echo one");
    let again = project
        .run()
        .args(["--file", "-"])
        .stdin(rendered.to_string())
        .run()
        .expect(0)
        .build();
    assert_eq!(again.step("a").stdout(), ["one"]);
}

#[test]
fn init_writes_a_pipeline_that_runs() {
    let project = Project::new().file("Makefile", "all:\n\ttrue\ntest:\n\ttrue\n");
    std::fs::remove_dir(project.path().join(".hm")).unwrap();
    project.hm(["init"]).run().expect(0);
    project.run().args(["--dry-run"]).run().expect(0);
    assert!(project.path().join(".hm/ci.toml").exists());
}

#[test]
fn the_predecessors_flags_work() {
    let project = Project::toml(ONE);
    project
        .hm(["run", "--logs", "--parallelism", "2"])
        .run()
        .expect(0);
    project
        .hm(["--no-color", "run", "-k", "-b", "main", "-m", "words"])
        .run()
        .expect(0);
}

/// Pipes and devices where a file is meant: they would be read for ever.
#[test]
fn files_that_are_none_hold_nothing_up() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\nrun = \"true\"\ncache = { on_change = [\"w\"] }",
    );
    let pipe = project.path().join("w");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    project.hm(["run", "--dry-run"]).run().expect(0);
    std::fs::remove_file(&pipe).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &pipe).unwrap();
    project.hm(["run", "--dry-run"]).run().expect(0);
    std::fs::create_dir(project.path().join(".git")).unwrap();
    let head = project.path().join(".git/HEAD");
    rustix::fs::mkfifoat(rustix::fs::CWD, &head, rustix::fs::Mode::RWXU).unwrap();
    project.run().run().expect(0);
}

#[test]
fn limits_may_be_as_large_as_numbers_are() {
    let project = Project::toml(ONE);
    let limits = "[limits]\nmachines = 9223372036854775807\nhttp-held = 9223372036854775807";
    std::fs::write(project.config().join("config.toml"), limits).unwrap();
    project.run().run().expect(0);
}

//! A component that has machines beside source and network: what it may look at.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hm_tests::{Finished, Project, guest};

const CANARY: &str = "SECR-91be-only-for-the-step";

fn prober() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| guest("prober", "prober-backend"))
}

fn project(env: &str) -> Project {
    Project::toml(&format!(
        "[steps.a]\nimage = \"host\"\nrun = 'echo \"got $TOKEN\" | tee kept'\nenv = {{ {env} }}"
    ))
    .file("source-file", "x")
}

#[track_caller]
fn grant(project: &Project, flags: &[&str]) {
    let all = [
        "--vm",
        "--vm-image",
        "host",
        "--vm-network",
        "host",
        "--source",
        "--http",
        "none",
    ];
    project
        .hm(["backend", "grant"])
        .arg(prober())
        .args(all)
        .args(flags)
        .run()
        .expect(0);
}

#[track_caller]
fn probe(project: &Project, flags: &[&str]) -> Finished {
    project
        .run()
        .arg("--backend")
        .arg(prober())
        .args(flags)
        .env("TOKEN", CANARY)
        .run()
        .expect(0)
}

/// Returns what the backend told, by its word.
fn told(finished: &Finished, word: &str) -> String {
    let build = finished.build();
    let told = build.events.iter().find_map(|event| {
        let message = event["message"].as_str()?;
        message
            .strip_prefix(word)?
            .strip_prefix(": ")
            .map(str::to_owned)
    });
    told.unwrap_or_else(|| panic!("nothing told of {word}: {}", finished.said()))
}

#[test]
fn a_machine_where_a_secret_was_cannot_be_looked_at() {
    let project = project("TOKEN = \"hm-secret:TOKEN\"");
    grant(&project, &[]);
    let finished = probe(&project, &["--secret", "TOKEN"]);
    // The value is for the step's own command; others see the name.
    assert!(told(&finished, "fresh").contains("TOKEN=[hm-secret:TOKEN]"));
    assert!(told(&finished, "fresh").contains("source-file"));
    for word in ["after", "copy"] {
        let told = told(&finished, word);
        assert!(
            told.contains("Denied") && told.contains("the secret `TOKEN`"),
            "{told}"
        );
    }
    assert_eq!(finished.build().step("a").stdout(), ["got ***"]);
    assert!(!finished.text().contains(CANARY));
}

#[test]
fn a_component_that_may_read_the_secret_may_look() {
    let project = project("TOKEN = \"hm-secret:TOKEN\"");
    grant(&project, &["--secret", "TOKEN"]);
    let finished = probe(&project, &["--secret", "TOKEN"]);
    for word in ["after", "copy"] {
        assert!(
            told(&finished, word).contains("got ***"),
            "{}",
            finished.said()
        );
    }
    assert!(!finished.text().contains(CANARY));
}

#[test]
fn without_secrets_nothing_is_in_the_way() {
    let project = project("TOKEN = \"plain\"");
    grant(&project, &[]);
    let finished = probe(&project, &[]);
    for word in ["after", "copy"] {
        assert!(
            told(&finished, word).contains("got plain"),
            "{}",
            finished.said()
        );
    }
    assert_eq!(told(&finished, "source"), "true");
    assert!(told(&finished, "http").contains("HttpRequestDenied"));
}

/// A grant for less is none: nothing of the component runs, and no machine is made.
#[test]
fn what_was_not_granted_is_missing_before_anything_runs() {
    let project = project("TOKEN = \"plain\"");
    project
        .hm(["backend", "grant"])
        .arg(prober())
        .arg("--vm")
        .run()
        .expect(2)
        .says(&["source", "http"]);
    let refused = project.run().arg("--backend").arg(prober()).run().expect(6);
    let errors = refused.errors();
    assert!(
        errors.contains("source") && errors.contains("http"),
        "{errors}"
    );
    assert_eq!(refused.text(), "");
    project.assert_nothing_started();
}

/// V1: commands that take all that there is, run by a component.
#[test]
fn what_a_command_takes_ends_with_its_machine() {
    let project = project("WORK = \"1\"");
    let limits = [
        "--limit",
        "machine-memory=64MiB",
        "--limit",
        "machine-disk=32MiB",
        "--limit",
        "machine-processes=64",
    ];
    grant(&project, &limits);
    let finished = probe(&project, &[]);
    for (what, says) in [
        ("forks", "Ok("),
        ("disk", "Limit(\"disk\")"),
        ("files", "Limit(\"disk\")"),
        ("survivor", "Exited(0)) 6 bytes begun"),
        ("flood", "Exited(0)) 52428800 bytes"),
        ("deaf", "TimedOut"),
        ("after", "Exited(0)) 6 bytes alive"),
    ] {
        let told = told(&finished, what);
        assert!(told.contains(says), "{what}: {told}");
    }
    // Where there are no control groups each process is held to it.
    let memory = told(&finished, "memory");
    let is_bounded = memory.contains("OutOfMemory") || memory.contains("Exited(3)");
    assert!(is_bounded, "{memory}");
    assert_eq!(finished.build().step("a").status, "passed");
}

/// V2: what a command's parts can be made to mean.
#[test]
fn a_command_is_one_argument_in_its_own_machine() {
    let project = project("INJECT = \"1\"");
    let outside = project.config().join("outside");
    std::fs::write(&outside, "FILE-canary").unwrap();
    std::os::unix::fs::symlink(project.config(), project.path().join("out")).unwrap();
    grant(&project, &[]);
    let finished = probe(&project, &[]);
    for (what, says) in [
        ("folder-up", "working-dir"),
        ("folder-by-link", "working-dir"),
        ("folder-nul", "working-dir"),
        ("folder-long", "working-dir"),
        ("command-nul", "command"),
        ("command-long", "command"),
        ("env-empty", "env"),
        ("env-equals", "env"),
        ("env-nul", "env"),
        ("env-newline", "env"),
        ("env-value-nul", "env A"),
        ("env-twice", "env A"),
        ("env-many", "env 512"),
    ] {
        let told = told(&finished, what);
        let is_refused = told.contains("Denied") || told.contains("Limit");
        assert!(is_refused && told.contains(says), "{what}: {told}");
    }
    // A link leads where it leads inside the machine, and nowhere outside of it.
    for what in ["folder-of-link", "folder-absent"] {
        assert!(
            !told(&finished, what).contains("ran in"),
            "{}",
            told(&finished, what)
        );
    }
    assert!(told(&finished, "env-loader").contains("/nowhere.so"));
    assert!(!finished.text().contains("FILE-canary"));
    assert_eq!(finished.build().step("a").status, "passed");
}

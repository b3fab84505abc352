//! Passes that the host did not see, though commands of the backend's own did run (P5).

use hm_tests::Project;

use super::{PROTOCOL, broken_in, is_broken};
use crate::stage::{VM, by, grant, misbehave, works};

const UNSEEN: &str = "claimed passed, the host saw no run of it";

#[test]
fn no_command_of_its_own_passes_a_step() {
    for (case, command) in [
        ("pass-without-run", "true"),
        ("pass-by-exec", "exit 3"),
        ("pass-by-exec-of-command", "true"),
        ("pass-by-exec-with-path", "verify"),
        ("pass-by-exec-then-run", "test -e planted"),
        ("pass-by-exec-before-run", "sleep 0.6; test -e planted"),
        ("pass-by-exec-beside-run", "sleep 1; test -e planted"),
        ("pass-in-another-image", "true"),
        ("pass-on-a-sibling", "true"),
    ] {
        let finished = is_broken(case, command, &[PROTOCOL, UNSEEN]);
        let build = finished.build();
        for step in ["a", "b"] {
            let is_seen = build.events[build.step(step).ended]["observed"] == true;
            // The first step of two is run as it should be, so that the second can be claimed.
            assert_eq!(
                is_seen,
                case == "pass-on-a-sibling" && step == "a",
                "{case}"
            );
        }
    }
}

#[test]
fn what_the_host_saw_fail_did_fail() {
    for (command, code) in [("exit 3", 3), ("kill -9 $$", 137), ("kill -15 $$", 143)] {
        let says = format!("claimed passed, the host saw exit {code}");
        is_broken("pass-claimed", command, &[PROTOCOL, &says]);
    }
}

#[test]
fn a_parent_that_was_changed_is_nobodys_base() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\nrun = \"true\"\n\
         [steps.b]\nfrom = \"a\"\nrun = \"test -e planted\"",
    );
    grant(&project, misbehave(), VM);
    broken_in(&project, "pass-on-a-changed-parent", &[PROTOCOL, UNSEEN]);
    works(&project);
}

/// Runs the case and returns what it said of the cache.
fn told(project: &Project, case: &str, code: i32) -> Vec<String> {
    let call = by(project, misbehave())
        .args(["-v", "-e", &format!("MISBEHAVE={case}")])
        .run()
        .expect(code);
    let lines = call.errors();
    let said = lines.lines().filter(|line| line.contains("the cache"));
    said.map(str::to_owned).collect()
}

/// Only the state in which the host saw the step pass is kept, and only for that step.
#[test]
fn nothing_that_was_planted_is_in_the_cache() {
    let project = Project::toml(
        "image = \"host\"\n[steps.a]\nrun = \"true\"\ncache = \"forever\"\n\
         [steps.b]\nrun = \"true\"\ncache = \"forever\"",
    );
    grant(&project, misbehave(), VM);
    let said = told(&project, "cache-another-state", 0).concat();
    assert!(said.contains("had: Ok(false)"), "{said}");
    assert!(
        said.contains("took: Err(") && said.contains("saw the step pass"),
        "{said}"
    );
    let said = told(&project, "cache-its-own", 0).concat();
    assert!(
        said.contains("had: Ok(false)") && said.contains("took: Ok("),
        "{said}"
    );
    let said = told(&project, "cache-its-own", 0).concat();
    assert!(said.contains("had: Ok(true)"), "{said}");
    // A hit is for the step that was asked for.
    broken_in(
        &project,
        "claims-hit-of-another",
        &[PROTOCOL, "but the cache had none"],
    );
    works(&project);
}

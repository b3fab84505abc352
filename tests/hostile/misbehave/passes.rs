//! Passes that the host did not see, though commands of the backend's own did run (P5).

use std::sync::atomic::{AtomicUsize, Ordering};

use hm_tests::{Build, Peer, Project, response};

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

/// Returns what the host itself said of attempts.
fn attempts(build: &Build) -> Vec<&str> {
    let messages = build
        .events
        .iter()
        .filter_map(|event| event["message"].as_str());
    messages
        .filter(|message| message.starts_with("attempt "))
        .collect()
}

/// A command may be run again from where its step starts, and what was seen last stands; no
/// attempt is hidden. Where a failed attempt left its state there is no further one
/// (`pass-on-a-failed-state`).
#[test]
fn trying_again_is_counted_and_shown() {
    let asked = AtomicUsize::new(0);
    let peer = Peer::start(move |_| {
        let word = match asked.fetch_add(1, Ordering::Relaxed) {
            0 => "fail",
            _ => "pass",
        };
        response("200 OK", "connection: close\r\n", word.as_bytes())
    });
    // A test that fails once: machines forget, a server does not.
    let command = format!(
        "exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/{}; printf \"GET / HTTP/1.1\\r\\n\\r\\n\" >&3; \
         a=$(cat <&3); a=${{a: -4}}; echo $a; [ $a = pass ]'",
        peer.port()
    );
    let project = Project::toml(&format!(
        "[steps.a]\nimage = \"host\"\nenv = {{ MISBEHAVE = \"pass-by-trying\" }}\nrun = '''{command}'''"
    ));
    grant(&project, misbehave(), VM);
    let build = by(&project, misbehave()).run().expect(0).build();
    let step = build.step("a");
    assert_eq!(step.stdout(), ["fail", "pass"]);
    assert_eq!(step.reason.as_deref(), Some("passed on attempt 2"));
    assert_eq!(attempts(&build), ["attempt 2: the one before ended with 1"]);
    assert_eq!(build.events[step.ended]["observed"], true);
    works(&project);
}

/// One that never passes has not passed, however often it was tried.
#[test]
fn trying_again_is_no_pass() {
    let finished = is_broken(
        "pass-by-trying",
        "echo tried; exit 3",
        &[PROTOCOL, "claimed passed, the host saw exit 3"],
    );
    let build = finished.build();
    assert_eq!(build.step("a").stdout(), ["tried"; 3]);
    assert_eq!(
        attempts(&build),
        [
            "attempt 2: the one before ended with 3",
            "attempt 3: the one before ended with 3"
        ]
    );
}

/// Nor does one that fails hide behind another that runs at the same time.
#[test]
fn no_attempt_runs_beside_another() {
    let finished = is_broken(
        "pass-by-trying-at-once",
        "echo tried; sleep 0.3; exit 3",
        &[PROTOCOL, "claimed passed, the host saw exit 3"],
    );
    let build = finished.build();
    assert_eq!(build.step("a").stdout(), ["tried"]);
    assert_eq!(attempts(&build), [""; 0]);
}

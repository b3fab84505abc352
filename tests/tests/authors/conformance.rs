//! The conformance kit, on good backends and on broken ones: each of these fails exactly
//! the check that is named after its fault.

use std::fs;
use std::path::PathBuf;

use hm_tests::{Finished, Project, guest};

/// What the broken backend is marked with, and the room for a fault's name.
const MARK: &[u8] = b"HM-FAULT:";
const ROOM: usize = 39;

/// Returns the broken backend with this fault, which is part of its bytes from then on.
fn broken(project: &Project, fault: &str) -> PathBuf {
    let mut bytes = fs::read(guest("broken", "broken-backend")).expect("it was just built");
    let marks: Vec<_> = bytes
        .windows(MARK.len())
        .enumerate()
        .filter_map(|(at, window)| (window == MARK).then_some(at + MARK.len()))
        .collect();
    assert_eq!(marks.len(), 1, "the marker is there once");
    let name = format!("{fault:ROOM$}");
    bytes[marks[0]..marks[0] + ROOM].copy_from_slice(name.as_bytes());
    let path = project.path().join(format!("{fault}.wasm"));
    fs::write(&path, bytes).expect("the project's folder can be written");
    path
}

fn tried(project: &Project, file: &str) -> Finished {
    project
        .hm(["backend", "test", file, "--junit", "kit.xml"])
        .run()
}

/// Returns the names of the checks whose line begins with `mark`.
fn marked(text: &str, mark: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(mark));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn the_built_in_backend_passes() {
    let project = Project::new();
    let finished = tried(&project, "local");
    let finished = finished.expect(0);
    let text = finished.text();
    assert_eq!(marked(&text, "FAIL"), [""; 0], "{text}");
    let passed = marked(&text, "ok  ");
    for check in [
        "uses-the-cache",
        "takes-large-plans",
        "stops-when-cancelled",
    ] {
        assert!(passed.contains(&check.to_owned()), "{text}");
    }
    // It runs steps itself, so nobody can submit to it.
    assert_eq!(
        marked(&text, "-   "),
        ["returns-without-watching"],
        "{text}"
    );
    let xml = fs::read_to_string(project.path().join("kit.xml")).expect("it was asked for");
    assert!(xml.contains("failures=\"0\""), "{xml}");
    assert_eq!(xml.matches("<testcase ").count(), passed.len() + 1);
}

#[test]
fn a_good_backend_passes() {
    let project = Project::new();
    broken(&project, "none");
    let finished = tried(&project, "none.wasm");
    let text = finished.text();
    assert_eq!(marked(&text, "FAIL"), [""; 0], "{text}");
    finished.expect(0);
}

#[track_caller]
fn fails_its_own_check(fault: &str) {
    let project = Project::new();
    broken(&project, fault);
    let finished = tried(&project, &format!("{fault}.wasm"));
    let text = finished.text();
    assert_eq!(marked(&text, "FAIL"), [fault], "{text}");
    assert!(
        text.contains("hm:backend "),
        "the interface is quoted\n{text}"
    );
    let xml = fs::read_to_string(project.path().join("kit.xml")).expect("it was asked for");
    assert_eq!(xml.matches("<failure ").count(), 1, "{xml}");
    finished.expect(1);
}

/// A test a fault, so that they run beside each other.
macro_rules! faults {
    ($($test:ident $fault:literal,)*) => {$(
        #[test]
        fn $test() {
            fails_its_own_check($fault);
        }
    )*};
}

faults! {
    describes_itself "describes-itself",
    takes_the_build "takes-the-build",
    names_steps_of_the_plan "names-steps-of-the-plan",
    queues_once "queues-once",
    starts_after_queueing "starts-after-queueing",
    starts_once "starts-once",
    waits_for_predecessors "waits-for-predecessors",
    starts_on_the_planned_image "starts-on-the-planned-image",
    starts_before_running "starts-before-running",
    sends_output_while_running "sends-output-while-running",
    leaves_output_to_machines "leaves-output-to-machines",
    sends_small_chunks "sends-small-chunks",
    sends_sound_texts "sends-sound-texts",
    ends_once "ends-once",
    ends_every_step "ends-every-step",
    ends_as_it_went "ends-as-it-went",
    claims_what_was_seen "claims-what-was-seen",
    fails_with_a_reason "fails-with-a-reason",
    skips_with_a_reason "skips-with-a-reason",
    hits_what_the_cache_has "hits-what-the-cache-has",
    accepts_first "accepts-first",
    verdict_follows_from_steps "verdict-follows-from-steps",
    does_not_crash "does-not-crash",
    stays_within_limits "stays-within-limits",
    tells_exit_codes "tells-exit-codes",
    tells_signals "tells-signals",
    tells_step_timeouts "tells-step-timeouts",
    skips_dependents "skips-dependents",
    stops_at_a_failure "stops-at-a-failure",
    keeps_going "keeps-going",
    runs_steps_at_once "runs-steps-at-once",
    keeps_to_parallelism "keeps-to-parallelism",
    stops_when_cancelled "stops-when-cancelled",
    stops_when_time_is_over "stops-when-time-is-over",
    uses_the_cache "uses-the-cache",
    gives_machines_back "gives-machines-back",
    takes_large_plans "takes-large-plans",
    takes_any_text "takes-any-text",
    survives_lost_machines "survives-lost-machines",
    tells_missing_images "tells-missing-images",
}

#[test]
fn what_is_no_backend_is_told() {
    let project = Project::new().file("no.wasm", "nothing");
    let finished = project.hm(["backend", "test", "no.wasm"]).run();
    let finished = finished.expect(8);
    assert!(
        finished.errors().contains("no WebAssembly"),
        "{}",
        finished.errors()
    );
}

//! Backends of strangers: one that behaves, one that does not, and files that are none.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hm_tests::{Finished, Invocation, Project, guest, processes_with};
use rustix::process::Signal;

fn misbehave() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| guest("misbehave", "misbehave-backend"))
}

fn echo() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| guest("echo", "echo-backend"))
}

/// A project whose first step fails unless something planted a file, and whose backend is
/// allowed to misbehave as `case` says.
fn project(case: &str, command: &str) -> Project {
    let project = Project::toml(&format!(
        "image = \"host\"\nenv = {{ MISBEHAVE = \"{case}\" }}\n[steps.a]\nrun = \"{command}\"\n\
         [steps.b]\nneeds = [\"a\"]\nrun = \"true\"",
    ));
    grant(&project, misbehave(), &["--vm", "--vm-network", "host"]);
    project
}

#[track_caller]
fn grant(project: &Project, component: &Path, flags: &[&str]) {
    project
        .hm(["backend", "grant"])
        .arg(component)
        .args(flags)
        .run()
        .expect(0);
}

fn by(project: &Project, component: &Path) -> Invocation {
    project.run().arg("--backend").arg(component)
}

/// Checks that the backend is told off, that no build passed, and that a good run goes on
/// working in the same project.
#[track_caller]
fn is_broken(case: &str, command: &str, says: &[&str]) -> Finished {
    let project = project(case, command);
    let finished = by(&project, misbehave())
        .run()
        .expect(8)
        .says(&["misbehave"])
        .says(says);
    if !finished.stdout.is_empty() {
        let build = finished.build();
        assert_ne!(build.status, "passed");
        assert!(build.reason.is_some(), "the build tells why");
    }
    project.write(
        ".hm/ci.toml",
        "[steps.a]\nimage = \"host\"\nrun = \"echo good\"",
    );
    assert_eq!(
        project.run().run().expect(0).build().step("a").stdout(),
        ["good"]
    );
    finished
}

macro_rules! broken {
    ($($name:ident: $case:expr, $command:expr, $says:expr;)*) => {
        $(
            #[test]
            fn $name() {
                is_broken($case, $command, &[$says]);
            }
        )*
    };
}

const PROTOCOL: &str = "broke the protocol";

broken! {
    queued_twice: "queued-twice", "true", PROTOCOL;
    started_unqueued: "started-unqueued", "true", PROTOCOL;
    started_too_early: "started-too-early", "true", PROTOCOL;
    started_elsewhere: "started-elsewhere", "true", PROTOCOL;
    ended_twice: "ended-twice", "true", PROTOCOL;
    output_before_start: "output-before-start", "true", PROTOCOL;
    output_after_end: "output-after-end", "true", PROTOCOL;
    output_of_a_run: "output-of-a-run", "true", PROTOCOL;
    passed_with_1: "passed-with-1", "true", PROTOCOL;
    failed_with_0: "failed-with-0", "exit 3", PROTOCOL;
    another_code: "another-code", "exit 3", PROTOCOL;
    skipped_while_running: "skipped-while-running", "true", PROTOCOL;
    hit_after_start: "hit-after-start", "true", PROTOCOL;
    a_step_outside_the_plan_queued: "queued:99", "true", PROTOCOL;
    a_step_outside_the_plan_ended: "ended:4294967295", "true", PROTOCOL;
    pass_claimed_over_a_failure: "pass-claimed", "exit 3", PROTOCOL;
    pass_without_a_run: "pass-without-run", "true", PROTOCOL;
    pass_by_another_command: "pass-by-exec", "exit 3", PROTOCOL;
    pass_by_a_planted_file: "pass-by-exec-then-run", "test -e planted", PROTOCOL;
    pass_by_a_file_planted_meanwhile: "pass-by-exec-beside-run", "sleep 1; test -e planted", PROTOCOL;
    pass_in_another_image: "pass-in-another-image", "true", PROTOCOL;
    pass_on_a_failed_state: "pass-on-a-failed-state", "test -e again || { touch again; exit 1; }", PROTOCOL;
    a_hit_that_was_none: "claims-hit", "true", PROTOCOL;
    a_hit_that_nobody_asked_for: "claims-hit-of-nothing", "true", PROTOCOL;
    passed_over_failed: "passed-over-failed", "exit 3", PROTOCOL;
    passed_over_skipped: "passed-over-skipped", "true", PROTOCOL;
    passed_over_nothing: "passed-over-nothing", "true", PROTOCOL;
    failed_over_passes: "failed-over-passes", "true", PROTOCOL;
    cancelled_by_nobody: "cancelled-by-nobody", "true", PROTOCOL;
    timed_out_by_nobody: "timed-out-by-nobody", "true", PROTOCOL;
    a_step_left_open: "step-left-open", "true", PROTOCOL;
    an_outcome_before_the_events: "outcome-first", "true", PROTOCOL;
    accepted_twice: "accepted-twice", "true", PROTOCOL;
    accepted_late: "accepted-late", "true", PROTOCOL;
    a_panic: "panic", "true", "crashed";
    a_panic_in_start: "panic-in-start", "true", "crashed";
    a_panic_after_a_step: "panic-after-a-step", "true", "crashed";
    endless_recursion: "recursion", "true", "went over a limit: stack";
    too_much_memory: "grow-memory", "true", "memory 256 MiB";
    an_outcome_that_never_comes: "outcome-never", "true", "did not answer";
    nobody_left_to_answer: "exits", "true", "did not answer";
    too_many_streams: "streams", "true", "limit";
    too_many_calls: "calls", "true", "calls in flight";
}

/// The SDK's own words for an outcome that was never written.
#[test]
fn both_ends_dropped() {
    let project = project("both-dropped", "true");
    by(&project, misbehave())
        .run()
        .expect(8)
        .says(&["the outcome was dropped"]);
}

#[test]
fn the_rules_kept() {
    let project = project("", "echo from-a-machine");
    let build = by(&project, misbehave()).run().expect(0).build();
    build.assert_ends(&[]);
    assert_eq!(build.step("a").stdout(), ["from-a-machine"]);
    let failing = by(&project, misbehave())
        .args(["-e", "MISBEHAVE=nothing"])
        .run()
        .expect(0)
        .build();
    assert_eq!(failing.status, "passed");
}

#[test]
fn a_plan_that_the_backend_refuses() {
    let project = project("refuse", "true");
    let finished = by(&project, misbehave())
        .run()
        .expect(7)
        .says(&["as asked"]);
    assert_eq!(finished.text(), "");
}

/// What loops or sleeps is ended by a limit of time, and by the person.
#[test]
fn loops_end_with_the_builds_time() {
    for case in [
        "loop",
        "sleeps",
        "stream-never-closed",
        "outcome-beside-stream",
        "loop-with-log",
        "loop-with-yield",
    ] {
        let project = project(case, "true");
        let finished = by(&project, misbehave()).args(["--timeout", "2s"]).run();
        let code = finished.code();
        assert!(
            [Some(124), Some(8)].contains(&code),
            "{case}: {}",
            finished.said()
        );
        // Where the backend never took the build there is nothing to tell but that.
        if !finished.stdout.is_empty() {
            assert_ne!(finished.build().status, "passed", "{case}");
        }
    }
}

#[test]
fn floods_end() {
    for case in [
        "flood-of-notices",
        "flood-of-output",
        "huge-output",
        "huge-log",
        "deep-json",
        "fill-memory",
    ] {
        let project = project(case, "true");
        let finished = by(&project, misbehave()).args(["--timeout", "3s"]).run();
        let code = finished.code();
        assert!(
            [Some(124), Some(8)].contains(&code),
            "{case}: {}",
            finished.said()
        );
        if !finished.stdout.is_empty() {
            assert_ne!(finished.build().status, "passed", "{case}");
        }
        assert!(
            finished.peak_kib() < 1 << 20,
            "{case}: {} KiB",
            finished.peak_kib()
        );
    }
}

/// Waits until the backend is about to be started, and lets it get there: nothing tells of a
/// backend that says nothing.
fn wait_for_record(project: &Project) {
    while project.records().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
}

#[test]
fn a_build_without_an_end_ends_with_control_c() {
    let project = project("sleeps", "true");
    let running = by(&project, misbehave()).start();
    wait_for_record(&project);
    running.signal(Signal::INT);
    running.wait_for_error("cancelling");
    running.signal(Signal::INT);
    assert_eq!(running.wait().expect(130).build().status, "cancelled");
}

/// There is no build yet that could be cancelled in order: the process ends, and the next
/// one removes what it left.
#[test]
fn a_start_without_an_end_ends_with_control_c() {
    let project = project("loop-in-start", "true");
    let running = by(&project, misbehave()).beside_others().start();
    wait_for_record(&project);
    running.signal(Signal::INT);
    assert_eq!(running.wait().code(), Some(130));
    by(&project, misbehave())
        .args(["-e", "MISBEHAVE=nothing"])
        .run()
        .expect(0);
}

#[test]
fn a_stranger_needs_a_grant() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo one\"");
    let refused = by(&project, echo()).run().expect(6);
    assert_eq!(refused.text(), "");
    let errors = refused.errors();
    let command = errors
        .lines()
        .find_map(|line| line.find("hm backend grant").map(|at| line[at..].trim()));
    let command = command.unwrap_or_else(|| panic!("no command in\n{errors}"));
    // Exactly what was printed suffices.
    project
        .hm(command.split_whitespace().skip(1))
        .run()
        .expect(0);
    let build = by(&project, echo()).run().expect(0).build();
    assert_eq!(build.step("a").stdout(), ["echo one"]);
}

#[test]
fn the_printed_command_suffices_for_machines_too() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo one\"");
    for flags in [&[][..], &["--network", "host"]] {
        let refused = by(&project, misbehave()).args(flags).run().expect(6);
        let errors = refused.errors();
        let command = errors
            .lines()
            .find_map(|line| line.find("hm backend grant").map(|at| line[at..].trim()));
        let command = command.unwrap_or_else(|| panic!("no command in\n{errors}"));
        project
            .hm(command.split_whitespace().skip(1))
            .run()
            .expect(0);
        by(&project, misbehave()).args(flags).run().expect(0);
    }
}

#[test]
fn a_grant_is_for_these_bytes_and_this_repository() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo one\"");
    grant(&project, echo(), &[]);
    let copy = project.path().join("copy.wasm");
    let mut bytes = std::fs::read(echo()).unwrap();
    std::fs::write(&copy, &bytes).unwrap();
    by(&project, &copy).run().expect(0);
    // An empty custom section changes nothing but the digest.
    bytes.extend([0, 2, 1, b'x']);
    std::fs::write(&copy, &bytes).unwrap();
    by(&project, &copy).run().expect(6);
    let other = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo one\"")
        .env_for_all("HM_CONFIG_DIR", project.config());
    by(&other, echo()).run().expect(6).says(&["repository"]);
}

#[test]
fn a_revoked_grant_is_gone() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo one\"");
    grant(&project, echo(), &[]);
    by(&project, echo()).run().expect(0);
    project
        .hm(["backend", "revoke"])
        .arg(echo())
        .run()
        .expect(0);
    by(&project, echo()).run().expect(6);
}

#[test]
fn a_person_is_asked_once() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo one\"");
    let run = || project.hm(["run", "--backend"]).arg(echo());
    for (answer, code) in [("no\n", 6), ("yes\n", 6), ("once\n", 0), ("grant\n", 0)] {
        let mut terminal = run().on_terminal(100, 30);
        terminal.wait_for("anything else for no");
        // What is typed too early is thrown away.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        terminal.type_in(answer.as_bytes());
        let seen = terminal.wait();
        assert_eq!(seen.code, Some(code), "{answer}: {}", seen.text());
    }
    let seen = run().on_terminal(100, 30).wait();
    assert_eq!(seen.code, Some(0), "{}", seen.text());
    assert!(
        !seen.text().contains("anything else for no"),
        "{}",
        seen.text()
    );
}

/// Files that are no component: one line that names what they are, and no question.
#[test]
fn files_that_are_no_component() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo one\"");
    let whole = std::fs::read(echo()).unwrap();
    let module = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
    let mut trailing = whole.clone();
    trailing.extend(b"garbage");
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        (
            "random",
            (0..4096_u32)
                .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect(),
        ),
        (
            "elf",
            std::fs::read("/proc/self/exe").unwrap()[..4096].to_vec(),
        ),
        ("text", b"(component)".to_vec()),
        ("module", module.to_vec()),
        ("trailing", trailing),
    ];
    for cut in [
        4,
        8,
        9,
        12,
        whole.len() / 3,
        whole.len() / 2,
        whole.len() - 1,
    ] {
        files.push(("cut", whole[..cut].to_vec()));
    }
    for (name, bytes) in files {
        let path = project.path().join(format!("{name}.wasm"));
        std::fs::write(&path, bytes).unwrap();
        let finished = by(&project, &path).run();
        assert_eq!(finished.code(), Some(8), "{name}: {}", finished.said());
        assert_eq!(finished.text(), "", "{name}");
        assert!(
            finished.errors().contains(name),
            "{name}: {}",
            finished.errors()
        );
        assert!(
            !finished.errors().contains("grant"),
            "{name}: {}",
            finished.errors()
        );
    }
    project.run().run().expect(0);
}

#[test]
fn strange_files_are_not_waited_for() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo one\"");
    let fifo = project.path().join("fifo.wasm");
    project.program("mkfifo").arg(&fifo).run().expect(0);
    let huge = project.path().join("huge.wasm");
    let file = std::fs::File::create(&huge).unwrap();
    file.set_len(500 << 20).unwrap();
    for (path, codes) in [
        (&fifo, [8, 2]),
        (&huge, [8, 8]),
        (&project.path().to_owned(), [2, 2]),
    ] {
        let finished = by(&project, path).run();
        assert!(
            finished.code().is_some_and(|code| codes.contains(&code)),
            "{}: {}",
            path.display(),
            finished.said()
        );
        assert!(
            finished.peak_kib() < 150 << 10,
            "{}: {} KiB",
            path.display(),
            finished.peak_kib()
        );
    }
    by(&project, Path::new("./absent.wasm"))
        .run()
        .expect(2)
        .says(&["absent.wasm"]);
    by(&project, Path::new("/dev/zero")).run();
}

/// The canary of this file: a machine that a broken backend leaves is gone with it.
#[test]
fn machines_of_a_broken_backend_are_gone() {
    let marker = uuid::Uuid::new_v4().to_string();
    let project = project(
        "another-code",
        &format!("sh -c 'exec -a {marker} sleep 600' & exit 3"),
    );
    by(&project, misbehave()).run().expect(8);
    assert_eq!(processes_with(&marker), [""; 0]);
}

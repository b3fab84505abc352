//! On a terminal: live state, colours, narrow windows, Ctrl-C as a key.

use hm_tests::{Invocation, Project};

const TWO: &str = "image = \"host\"\n[steps.one]\nrun = \"printf 'qui%s\\\\n' et; sleep 2\"\n[steps.two]\nfrom = \"one\"\nrun = \"true\"";

fn run(text: &str) -> (Project, Invocation) {
    let project = Project::toml(text);
    let run = project.hm(["run"]);
    (project, run)
}

#[test]
fn a_run_is_drawn_and_summed_up() {
    let (_project, run) = run(TWO);
    let terminal = run.on_terminal(80, 24);
    let live = terminal.wait_for("1 running");
    assert!(
        live.rows().iter().all(|(_, is_wrapped)| !is_wrapped),
        "{}",
        live.text()
    );
    let seen = terminal.wait();
    assert_eq!(seen.code, Some(0));
    assert!(seen.has_cursor() && seen.has_color() && seen.has_cursor_movement());
    let text = seen.text();
    assert!(
        text.contains("one") && text.contains("two") && text.contains("passed"),
        "{text}"
    );
    assert!(
        !text.contains("quiet"),
        "logs of what passes stay away:\n{text}"
    );
}

#[track_caller]
fn fits(columns: u16) {
    let (_project, run) = run(
        "image = \"host\"\n[steps.a]\nlabel = \"A rather long label that no narrow window can hold\"\nrun = \"sleep 1; echo x > marker; sleep 1\"\n\
         [steps.with-a-long-key-too]\nrun = \"sleep 2\"\n[steps.c]\nneeds = [\"a\"]\nrun = \"true\"",
    );
    let terminal = run.args(["-j", "4"]).on_terminal(columns, 12);
    // The frame has at least the two running steps.
    let live = terminal.wait_for("with-");
    for (row, is_wrapped) in live.rows().iter().skip(1) {
        assert!(
            !is_wrapped,
            "{row:?} is wider than {columns}:\n{}",
            live.text()
        );
    }
    let seen = terminal.wait();
    assert_eq!(seen.code, Some(0), "{}", seen.text());
    assert!(seen.has_cursor());
}

#[test]
fn in_twenty_columns() {
    fits(20);
}

#[test]
fn in_forty_columns() {
    fits(40);
}

#[test]
fn in_eighty_columns() {
    fits(80);
}

#[test]
fn a_window_that_changes_its_size() {
    let (_project, run) = run(TWO);
    let mut terminal = run.on_terminal(80, 24);
    terminal.wait_for("1 running");
    terminal.resize(30, 10);
    let seen = terminal.wait();
    assert_eq!(seen.code, Some(0));
    assert!(seen.has_cursor());
}

#[test]
fn without_colours() {
    let (_project, run) = run(TWO);
    let seen = run.env("NO_COLOR", "1").on_terminal(80, 24).wait();
    assert_eq!(seen.code, Some(0));
    assert!(!seen.has_color());
    assert!(seen.text().contains("passed"));
}

#[test]
fn on_a_dumb_terminal() {
    let (_project, run) = run(TWO);
    let seen = run.env("TERM", "dumb").on_terminal(80, 24).wait();
    assert_eq!(seen.code, Some(0));
    assert!(!seen.bytes.contains(&0x1b), "{}", seen.text());
    assert!(
        seen.text().contains("one") && seen.text().contains("passed"),
        "{}",
        seen.text()
    );
}

#[test]
fn in_a_ci_system_nothing_moves() {
    let (_project, run) = run(TWO);
    let seen = run.env("CI", "true").on_terminal(80, 24).wait();
    assert_eq!(seen.code, Some(0));
    assert!(!seen.has_cursor_movement(), "{}", seen.text());
}

#[test]
fn the_log_of_what_fails_is_shown_in_full() {
    let (_project, run) =
        run("[steps.bad]\nimage = \"host\"\nrun = \"seq 1 300; echo the reason >&2; exit 5\"");
    let seen = run.on_terminal(80, 24).wait();
    assert_eq!(seen.code, Some(1));
    let text = seen.text();
    for line in (1..=300)
        .map(|number| number.to_string())
        .chain(["the reason".to_owned()])
    {
        assert!(
            text.lines().any(|shown| shown.trim() == line),
            "no {line} in\n{text}"
        );
    }
    assert!(text.contains("exit 5"), "{text}");
}

#[test]
fn control_c_cancels_and_restores_the_terminal() {
    let (_project, run) = run(
        "image = \"host\"\n[steps.a]\nrun = \"echo i-am-up; sleep 600\"\n[steps.b]\nfrom = \"a\"\nrun = \"true\"",
    );
    let mut terminal = run.on_terminal(80, 24);
    terminal.wait_for("i-am-up");
    terminal.type_in(b"\x03");
    let seen = terminal.wait();
    assert_eq!(seen.code, Some(130), "{}", seen.text());
    assert!(seen.has_cursor());
    assert!(seen.text().contains("cancelled"), "{}", seen.text());
}

#[test]
fn control_c_twice_ends_at_once() {
    let (_project, run) = run(
        "[steps.a]\nimage = \"host\"\nrun = \"trap '' INT TERM; echo i-am-up; sleep 600; sleep 600\"",
    );
    let mut terminal = run.on_terminal(80, 24);
    terminal.wait_for("i-am-up");
    terminal.type_in(b"\x03");
    terminal.wait_for("cancelling");
    terminal.type_in(b"\x03");
    let seen = terminal.wait();
    assert_eq!(seen.code, Some(130), "{}", seen.text());
    assert!(seen.has_cursor());
}

/// A line that goes back to its beginning must not be read as another one.
#[test]
fn logs_show_what_a_carriage_return_leaves() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\nrun = \"printf 'x\\\\rbuild: 2 passed   \\\\n'\"",
    );
    project.run().run().expect(0);
    let seen = project.hm(["logs"]).on_terminal(80, 24).wait();
    let text = seen.text();
    assert!(
        text.lines()
            .any(|line| line.starts_with("[a] build: 2 passed")),
        "{text}"
    );
    let piped = project.hm(["logs", "last", "a"]).run().expect(0).text();
    assert!(piped.starts_with("x\r"), "{piped:?}");
}

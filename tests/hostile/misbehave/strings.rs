//! Strings that a terminal would act on or that forge lines (T1, T2), that are too long, and
//! that are none (R4).

use hm_tests::{Finished, Project};

use super::{PROTOCOL, is_broken, project};
use crate::stage::{by, misbehave};

/// What must never come through, whatever shows it: bells, backspaces, strings for the
/// terminal, C1, bidi, zero width, tags.
const NEVER: &[&str] = &[
    "\u{7}",
    "\u{8}",
    "\u{1b}]",
    "\u{1b}P",
    "\u{1b}[2J",
    "\u{1b}\\",
    "\u{9b}",
    "\u{202e}",
    "\u{200b}",
    "\u{e0041}",
    "\u{2028}",
];

#[track_caller]
fn clean(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for never in NEVER {
        assert!(
            !text.contains(never),
            "{what}: {never:?} came through\n{text:?}"
        );
    }
}

fn shown(project: &Project, format: &str) -> Finished {
    project
        .hm(["run", "-v", "--format", format, "--backend"])
        .arg(misbehave())
        .run()
        .expect(0)
}

#[test]
fn nothing_that_a_backend_says_acts_on_a_terminal() {
    let project = project("escapes/", "true");
    let seen = project
        .hm(["run", "-v", "--backend"])
        .arg(misbehave())
        .on_terminal(100, 40)
        .wait();
    assert_eq!(seen.code, Some(0), "{}", seen.text());
    clean("terminal", &seen.bytes);
    for format in ["plain", "human", "github"] {
        let finished = shown(&project, format);
        clean(format, &finished.stdout);
        clean(format, finished.errors().as_bytes());
        let all = finished.text() + &finished.errors();
        assert!(!all.contains('\u{1b}'), "{format}: {all:?}");
        // A line that the backend forged stands behind our own words.
        let forged = |line: &str| {
            [
                "build passed",
                "::error",
                "##[group]",
                "error: x",
                "{\"kind\"",
            ]
            .iter()
            .any(|start| line.starts_with(start))
        };
        let forged: Vec<_> = all.lines().filter(|line| forged(line)).collect();
        assert_eq!(forged, [""; 0], "{format}");
    }
}

/// In a report that another program reads, or a browser.
#[test]
fn reports_hold_what_was_said_and_nothing_of_it_acts() {
    let project = project("escapes/", "true");
    let call = by(&project, misbehave())
        .args(["--report", "junit=build.xml", "--report", "html=build.html"])
        .run()
        .expect(0);
    clean("json", &call.stdout);
    for name in ["build.xml", "build.html"] {
        let bytes = std::fs::read(project.path().join(name)).unwrap();
        clean(name, &bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(
            !text.contains("]]><script>") && !text.contains('\u{1b}'),
            "{text}"
        );
    }
}

/// What the plan says is no more trusted: its keys, labels, names and commands.
#[test]
fn nothing_that_a_plan_says_acts_on_a_terminal() {
    let nasty = r"x\u001b[2J\u001b]0;owned\u0007\u202e\u200b\U000E0041\nbuild passed\n::error::x";
    let project = Project::toml(&format!(
        "[steps.a]\nimage = \"host\"\nlabel = \"{nasty}\"\nenv = {{ A = \"{nasty}\" }}\nrun = \"exit 3 # {nasty}\"",
    ));
    for format in ["plain", "human", "json", "github"] {
        let finished = project
            .hm(["run", "-v", "--format", format])
            .run()
            .expect(1);
        clean(format, &finished.stdout);
        clean(format, finished.errors().as_bytes());
        let all = finished.text() + &finished.errors();
        assert!(
            !all.lines().any(|line| line.starts_with("build passed")),
            "{format}: {all}"
        );
    }
    let seen = project.hm(["run"]).on_terminal(100, 40).wait();
    assert_eq!(seen.code, Some(1), "{}", seen.text());
    clean("terminal", &seen.bytes);
    for call in [["run", "--dry-run"], ["graph", "ci"]] {
        let finished = project.hm(call).run();
        clean("dry", &finished.stdout);
        clean("dry", finished.errors().as_bytes());
    }
}

/// One object a line, one end, and what was sent is what is there, made visible.
#[test]
fn json_lines_are_the_events_and_no_others() {
    let project = project("escapes/", "true");
    let finished = shown(&project, "json");
    clean("json", &finished.stdout);
    let build = finished.build();
    assert_eq!(build.status, "passed");
    let kinds = |kind: &str| {
        let events = build.events.iter();
        events.filter(|event| event["kind"] == kind).count()
    };
    assert_eq!(kinds("build_end"), 1);
    assert_eq!(kinds("notice"), 2 * 3);
    let notice = build.events.iter().find(|event| event["kind"] == "notice");
    let message = notice.unwrap()["message"].as_str().unwrap();
    assert!(
        message.contains(r"\x1b[2J") && message.contains("⏎build passed"),
        "{message}"
    );
    let custom = build.events.iter().find(|event| event["kind"] == "custom");
    assert!(
        custom.unwrap()["data"]["k"]
            .as_str()
            .unwrap()
            .contains("build passed")
    );
    // The record is the same text.
    let record = project.records().pop().unwrap().join("events.jsonl");
    clean("record", &std::fs::read(record).unwrap());
}

#[test]
fn errors_and_refusals_are_clean_too() {
    for (case, code) in [("error-text/nasty", 8), ("refuse-nasty", 7)] {
        let project = project(case, "true");
        let finished = by(&project, misbehave()).run().expect(code);
        clean(case, finished.errors().as_bytes());
        clean(case, &finished.stdout);
        assert!(
            !finished.errors().contains('\u{1b}'),
            "{}",
            finished.errors()
        );
        let forged = finished.errors().lines().any(|line| {
            line.trim_start()
                .starts_with("to fix: hm backend grant sha256:00")
        });
        assert!(!forged, "{}", finished.errors());
    }
}

#[test]
fn a_string_over_its_limit_breaks_the_protocol() {
    for field in [
        "pipeline",
        "organization",
        "url",
        "message",
        "custom-name",
        "custom-json",
        "custom-depth",
        "runner",
        "detail",
        "output",
    ] {
        is_broken(&format!("long/{field}"), "true", &[PROTOCOL]);
    }
    is_broken(
        "error-text/5000",
        "true",
        &["an error text of more than 4096 bytes"],
    );
}

#[test]
fn what_is_no_string_is_no_call() {
    for case in ["utf8", "bounds", "length", "severity"] {
        is_broken(&format!("raw/{case}"), "true", &["crashed"]);
    }
    is_broken("huge-log", "true", &["one call's data 2 MiB"]);
    is_broken("error-text/209715200", "true", &["went over a limit"]);
}

/// Marks that are drawn over one character cover the lines above it, if there are enough of
/// them: what no writing needs is counted instead.
#[test]
fn marks_do_not_pile_up() {
    let project = Project::toml(&format!(
        "[steps.a]\nimage = \"host\"\nlabel = \"label {0}\"\nenv = {{ MISBEHAVE = \"piles/\" }}\nrun = \"echo said {0}\"",
        "e\u{301}".to_owned() + &"\u{301}".repeat(1_999)
    ));
    crate::stage::grant(&project, misbehave(), crate::stage::VM);
    let flat = |what: &str, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        assert!(!text.contains(&"\u{301}".repeat(9)), "{what}: {text}");
        text
    };
    let seen = project
        .hm(["run", "-v", "--backend"])
        .arg(misbehave())
        .on_terminal(200, 40)
        .wait();
    assert_eq!(seen.code, Some(0), "{}", seen.text());
    let text = flat("terminal", &seen.bytes);
    assert!(text.contains("\\u{301}×1992"), "{text}");
    for format in ["plain", "human", "github", "json"] {
        let finished = shown(&project, format);
        let text = flat(format, &finished.stdout) + &flat(format, finished.errors().as_bytes());
        assert!(text.contains("u{301}×1992"), "{format}: {text}");
        if format == "json" {
            // What writing has stays.
            let said = finished.build().step("a").stdout().concat();
            assert!(said.starts_with("said e\u{301}"), "{said}");
        }
    }
    for call in [["run", "--dry-run"], ["graph", "ci"]] {
        flat("dry", &project.hm(call).run().expect(0).stdout);
    }
}

//! `hm explain`: each ingredient of a cache key, changed in turn, is named.

use hm_tests::Project;
use serde_json::{Value, json};

use crate::build;

const BASE: &str = r#"
image = "host"
[steps.base]
run = "echo base > base"
env = { WHO = "me" }
cache = "forever"
[steps.tool]
from = "base"
run = "cp lock tool"
cache = { on_change = ["lock", "src/**"] }
[steps.use]
from = "tool"
run = "cat tool"
"#;

fn project() -> Project {
    Project::toml(BASE)
        .file("lock", "1\n")
        .file("src/a", "a\n")
        .file("src/b", "b\n")
}

#[track_caller]
fn explain(project: &Project, args: &[&str]) -> Value {
    let finished = project
        .hm(["explain", "--format", "json"])
        .args(args)
        .run()
        .expect(0);
    serde_json::from_slice(&finished.stdout).unwrap()
}

/// Returns what is said of a step: `last` or `now`.
#[track_caller]
fn of<'a>(all: &'a Value, step: &str, when: &str) -> &'a Value {
    let steps = all["steps"].as_array().unwrap();
    let found = steps.iter().find(|found| found["step"] == step);
    &found.unwrap_or_else(|| panic!("no {step} in {all}"))[when]
}

/// Changes something between two runs; both what would happen now, and after the second run
/// what has happened, must name it.
#[track_caller]
fn named(change: impl Fn(&Project) -> &'static [&'static str], expected: &Value) {
    named_first_of(1, change, expected);
}

#[track_caller]
fn named_first_of(
    count: usize,
    change: impl Fn(&Project) -> &'static [&'static str],
    expected: &Value,
) {
    let project = project();
    build(&project, &[], 0);
    let same = explain(&project, &[]);
    assert_eq!(of(&same, "tool", "now")["outcome"], "hit", "{same}");
    let flags = change(&project);
    let now = explain(&project, flags);
    build(&project, flags, 0);
    let then = explain(&project, flags);
    for answer in [of(&now, "tool", "now"), of(&then, "tool", "last")] {
        assert_eq!(answer["outcome"], "miss", "{answer}");
        let changes = answer["changes"].as_array().unwrap();
        assert_eq!(changes.len(), count, "{answer}");
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&changes[0][field], value, "{field} in {answer}");
        }
    }
    assert_eq!(of(&then, "tool", "now")["outcome"], "hit", "{then}");
}

#[track_caller]
fn rewritten(from: &'static str, to: &'static str, expected: &Value) {
    let rewrite = move |project: &Project| -> &'static [&'static str] {
        assert!(BASE.contains(from));
        project.write(".hm/ci.toml", BASE.replace(from, to));
        &[]
    };
    named(rewrite, expected);
}

#[test]
fn a_command() {
    rewritten(
        "cp lock tool",
        "cp lock tool && true",
        &json!({"what": "command", "step": "tool", "from": "cp lock tool", "to": "cp lock tool && true"}),
    );
}

#[test]
fn a_parents_command() {
    rewritten(
        "echo base > base",
        "echo more > base",
        &json!({"what": "command", "step": "base", "from": "echo base > base", "to": "echo more > base"}),
    );
}

#[test]
fn a_variable_of_the_document() {
    rewritten(
        "WHO = \"me\"",
        "WHO = \"you\"",
        &json!({"what": "environment", "step": "base", "name": "WHO", "from": "me", "to": "you"}),
    );
    rewritten(
        "env = { WHO = \"me\" }\n",
        "",
        &json!({"what": "environment", "step": "base", "name": "WHO", "from": "me", "to": null}),
    );
}

#[test]
fn a_variable_of_the_command_line() {
    // It is laid over every step.
    named_first_of(
        2,
        |_| &["-e", "WHO=you"],
        &json!({"what": "environment", "step": "base", "name": "WHO", "from": "me", "to": "you"}),
    );
}

#[test]
fn a_watched_file() {
    let hash = |text: &str| -> Value {
        // Of the content, as a person can compare it with `sha256sum`.
        let output = Project::new()
            .file("f", text)
            .program("sha256sum")
            .arg("f")
            .run();
        output.text()[..64].into()
    };
    named(
        |project| {
            project.write("lock", "2\n");
            &[]
        },
        &json!({"what": "file", "step": "tool", "name": "lock", "from": hash("1\n"), "to": hash("2\n")}),
    );
    named(
        |project| {
            project.write("src/new", "n\n");
            &[]
        },
        &json!({"what": "file", "name": "src/new", "from": null, "to": hash("n\n")}),
    );
    named(
        |project| {
            std::fs::remove_file(project.path().join("src/b")).unwrap();
            &[]
        },
        &json!({"what": "file", "name": "src/b", "to": null}),
    );
}

#[test]
fn a_policy() {
    rewritten(
        "{ on_change = [\"lock\", \"src/**\"] }",
        "\"forever\"",
        &json!({"what": "policy", "step": "tool"}),
    );
}

#[test]
fn a_parent() {
    rewritten(
        "from = \"base\"",
        "image = \"host\"",
        &json!({"what": "parent", "step": "tool", "from": "base", "to": null}),
    );
}

#[test]
fn what_is_not_asked_says_why() {
    let project = project();
    build(&project, &["--no-cache"], 0);
    let all = explain(&project, &[]);
    let last = of(&all, "tool", "last");
    assert_eq!(last["outcome"], "not_asked", "{last}");
    assert!(last["reason"].as_str().unwrap().contains("--no-cache"));
    let uses = of(&all, "use", "now");
    assert_eq!(uses["outcome"], "not_asked", "{uses}");
    assert!(uses["reason"].as_str().unwrap().contains("no cache policy"));
}

#[test]
fn what_was_never_run_and_what_was_removed() {
    let project = project();
    let never = explain(&project, &[]);
    assert_eq!(never["run"], Value::Null);
    assert_eq!(of(&never, "tool", "last"), &Value::Null);
    let reason = |all: &Value, when| of(all, "tool", when)["reason"].to_string();
    assert!(reason(&never, "now").contains("has not been run before"));
    build(&project, &[], 0);
    let first = explain(&project, &[]);
    assert_eq!(of(&first, "tool", "last")["outcome"], "miss");
    assert!(reason(&first, "last").contains("had not been run before"));
    build(&project, &[], 0);
    let second = explain(&project, &[]);
    assert_eq!(of(&second, "tool", "last")["outcome"], "hit", "{second}");
    project.hm(["cache", "clear"]).run().expect(0);
    let cleared = explain(&project, &[]);
    assert_eq!(of(&cleared, "tool", "now")["outcome"], "miss");
    assert!(reason(&cleared, "now").contains("removed"), "{cleared}");
    build(&project, &[], 0);
    let after = explain(&project, &[]);
    assert!(reason(&after, "last").contains("removed"), "{after}");
    assert_eq!(of(&after, "tool", "now")["outcome"], "hit");
}

#[test]
fn what_did_not_pass_says_so() {
    let failing = BASE.replace("cp lock tool", "false");
    let project = project();
    project.write(".hm/ci.toml", failing);
    build(&project, &[], 1);
    let all = explain(&project, &[]);
    let now = of(&all, "tool", "now");
    assert_eq!(now["outcome"], "miss");
    assert!(
        now["reason"].as_str().unwrap().contains("not passed"),
        "{now}"
    );
}

#[test]
fn for_people_and_by_step() {
    let project = project();
    build(&project, &[], 0);
    project.write("lock", "2\n");
    let text = project.hm(["explain"]).run().expect(0).text();
    for part in [
        "last run  missed: it had not been run before",
        "now       would hit: its result is kept",
        "now       would miss: changed since the run before",
        "file lock of tool: `",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    for args in [&["tool"][..], &["ci", "tool"]] {
        let text = project.hm(["explain"]).args(args).run().expect(0).text();
        assert!(
            text.contains("\ntool\n") && !text.contains("\nbase\n"),
            "{text}"
        );
    }
    project
        .hm(["explain", "ci", "tol"])
        .run()
        .expect(2)
        .says(&["tool"]);
    project.hm(["explain", "nothing", "tool"]).run().expect(2);
}

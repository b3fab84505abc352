//! The user is asked, once, about exact bytes; and is not fooled.

use std::time::Duration;

use crate::stage::{by, echo, grant, misbehave, one_step, printed_command, write};

#[test]
fn a_stranger_needs_a_grant() {
    let project = one_step();
    let refused = by(&project, echo()).run().expect(6);
    assert_eq!(refused.text(), "");
    // Exactly what was printed suffices.
    project.hm(printed_command(&refused)).run().expect(0);
    let build = by(&project, echo()).run().expect(0).build();
    assert_eq!(build.step("a").stdout(), ["echo one"]);
}

#[test]
fn the_printed_command_suffices_for_machines_too() {
    let project = one_step();
    for flags in [&[][..], &["--network", "host"]] {
        let refused = by(&project, misbehave()).args(flags).run().expect(6);
        project.hm(printed_command(&refused)).run().expect(0);
        by(&project, misbehave()).args(flags).run().expect(0);
    }
}

#[test]
fn a_grant_is_for_these_bytes_and_this_repository() {
    let project = one_step();
    grant(&project, echo(), &[]);
    let copy = project.path().join("copy.wasm");
    let mut bytes = std::fs::read(echo()).unwrap();
    std::fs::write(&copy, &bytes).unwrap();
    by(&project, &copy).run().expect(0);
    // An empty custom section changes nothing but the digest.
    bytes.extend([0, 2, 1, b'x']);
    std::fs::write(&copy, &bytes).unwrap();
    by(&project, &copy).run().expect(6);
    let other = one_step().env_for_all("HM_CONFIG_DIR", project.config());
    by(&other, echo()).run().expect(6).says(&["repository"]);
}

#[test]
fn a_revoked_grant_is_gone() {
    let project = one_step();
    grant(&project, echo(), &[]);
    by(&project, echo()).run().expect(0);
    project
        .hm(["backend", "revoke"])
        .arg(echo())
        .run()
        .expect(0);
    by(&project, echo()).run().expect(6);
}

/// Waits until the question is there and typed letters count.
fn asked(terminal: &hm_tests::Terminal) {
    terminal.wait_for("anything else for no");
    // What is typed too early is thrown away.
    std::thread::sleep(Duration::from_millis(1500));
}

#[test]
fn a_person_is_asked_once() {
    let project = one_step();
    let run = || project.hm(["run", "--backend"]).arg(echo());
    let answers = [
        "no",
        "yes",
        "y",
        "",
        "ONCE",
        "once again",
        "grant once",
        "once",
        "grant",
    ];
    for answer in answers {
        let code = if ["once", "grant"].contains(&answer) {
            0
        } else {
            6
        };
        let mut terminal = run().on_terminal(100, 30);
        asked(&terminal);
        terminal.type_in(format!("{answer}\n").as_bytes());
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

/// What was typed before the question stood there answers nothing.
#[test]
fn what_is_typed_ahead_is_no_answer() {
    let project = one_step();
    let mut terminal = project
        .hm(["run", "--backend"])
        .arg(echo())
        .on_terminal(100, 30);
    terminal.type_in(b"grant\ngrant\n");
    terminal.wait_for("anything else for no");
    terminal.type_in(b"grant\n");
    asked(&terminal);
    terminal.type_in(b"no\n");
    let seen = terminal.wait();
    assert_eq!(seen.code, Some(6), "{}", seen.text());
    by(&project, echo()).run().expect(6);
}

/// A name that looks like more than a name: it stands in quotes, on one line, cut short.
#[test]
fn a_name_cannot_forge_a_line_of_the_question() {
    let project = one_step();
    let name = format!(
        "x\u{1b}[2J\nasks for  nothing`{}digest    sha256:0\u{202e}",
        " ".repeat(90)
    );
    let path = write(&project, &name, &std::fs::read(echo()).unwrap());
    let refused = by(&project, &path).run().expect(6);
    let errors = refused.errors();
    assert!(
        !errors.contains('\u{1b}') && !errors.contains('\u{202e}'),
        "{errors}"
    );
    let forged = |line: &str| {
        let line = line.trim_start();
        line.starts_with("digest    sha256:0") || line.starts_with("asks for  nothing`")
    };
    assert!(!errors.lines().any(forged), "{errors}");
    let digests: Vec<_> = errors
        .lines()
        .filter(|line| line.trim_start().starts_with("digest "))
        .collect();
    assert_eq!(digests.len(), 1, "{errors}");
}

/// Nothing that a component says of itself is part of the question; `inspect` shows it, as
/// what nobody checked.
#[test]
fn a_component_does_not_introduce_itself() {
    let project = one_step();
    let refused = by(&project, echo()).run().expect(6);
    assert!(
        !refused.errors().contains("echo-backend"),
        "{}",
        refused.errors()
    );
    let shown = project
        .hm(["backend", "inspect"])
        .arg(echo())
        .run()
        .expect(0);
    assert!(
        shown.text().contains("echo-backend") && shown.text().contains("nobody checked"),
        "{}",
        shown.text()
    );
}

#[test]
fn inspect_tells_programs_too() {
    let project = one_step();
    let inspect = || {
        let shown = project
            .hm(["backend", "inspect", "--json"])
            .arg(misbehave())
            .run()
            .expect(0);
        serde_json::from_str::<serde_json::Value>(&shown.text()).unwrap()
    };
    let told = inspect();
    assert_eq!(told["interface"], "hm:backend/execution-backend@0.1.0");
    assert_eq!(told["asks"][0]["interface"], "vm");
    assert!(told["grant"].is_null());
    let command = told["command"].as_str().unwrap();
    project
        .hm(command.split_whitespace().skip(1))
        .run()
        .expect(0);
    let told = inspect();
    assert_eq!(told["grant"]["vm"]["images"][0], "plan");
    assert!(told["command"].is_null());
}

//! `docs/backend-guide.md`, as its reader follows it.

use std::fs;

use hm_tests::{Project, workspace};

use crate::desk::{lend_components, shell};

/// Returns the commands of the guide, in order.
fn commands() -> Vec<String> {
    let path = workspace().join("docs/backend-guide.md");
    let text = fs::read_to_string(path).expect("the guide is there");
    let mut commands = Vec::new();
    let mut is_console = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(kind) => is_console = kind == "console",
            None if is_console => {
                let command = line
                    .strip_prefix("$ ")
                    .expect("a line of a console is a command");
                commands.push(command.to_owned());
            }
            None => {}
        }
    }
    commands
}

#[test]
fn every_command_of_the_guide_works() {
    let commands = commands();
    assert!(commands.len() > 7, "{commands:?}");
    assert_eq!(commands[0], "hm backend new mine");
    let project = Project::new();
    shell(&project, &commands[0]).run().expect(0);
    lend_components(&project.path().join("mine"));
    let finished = shell(&project, &commands[1..].join("\n")).run();
    let said = finished.errors() + &finished.text();
    assert!(
        said.contains("a_build_can_be_stopped_at_any_await ... ok"),
        "{said}"
    );
    assert!(said.contains("the greeting is there"), "{said}");
    assert!(
        said.contains("0 failed") || !said.contains("FAIL"),
        "{said}"
    );
    finished.expect(0);
}

#[test]
fn every_name_in_the_guide_is_real() {
    let text = fs::read_to_string(workspace().join("docs/backend-guide.md")).expect("it is there");
    let sources = [
        "sdk/src/steps.rs",
        "sdk/src/sink.rs",
        "sdk/src/source.rs",
        "sdk/src/vm.rs",
        "sdk/testkit/src/command.rs",
        "sdk/testkit/src/server.rs",
        "sdk/testkit/src/simulation.rs",
        "sdk/testkit/src/played.rs",
    ];
    let code: String = sources
        .iter()
        .map(|name| fs::read_to_string(workspace().join(name)).expect("a source"))
        .collect();
    for name in [
        "start",
        "exit",
        "end",
        "fail",
        "verdict",
        "archive",
        "exec",
        "cache_lookup",
        "lost",
        "fail_boot",
        "status",
        "hangs",
        "breaks_off",
        "each_cancellation",
        "timeline",
    ] {
        assert!(
            text.contains(name),
            "the guide does not say `{name}` any more"
        );
        assert!(
            code.contains(&format!("fn {name}")),
            "the guide says `{name}`, and nothing has it"
        );
    }
}

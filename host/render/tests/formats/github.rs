use hm_plugin_protocol::{BuildEvent, BuildStatus, Level, Plan, StepStatus};
use hm_render::{Github, Options, Renderer};

use crate::script::*;

fn shown(plan: &Plan, events: &[BuildEvent]) -> String {
    let written = Written::default();
    let options = Options::default();
    let mut github = Github::new(written.clone(), plan, &options, "secret0token".into());
    for event in events {
        github.event(event).unwrap();
    }
    github.finish(None).unwrap();
    written.text()
}

#[test]
fn what_failed_is_annotated_after_the_log() {
    let (plan, events) = everything();
    let text = shown(&plan, &events).replace('\r', "<CR>");
    let (log, rest) = text.split_once("::secret0token::\n").unwrap();
    assert!(log.starts_with("::stop-commands::secret0token\nbuild: 5 steps"));
    assert!(log.ends_with("build: end exit=1 duration=2700ms failed\n"));
    insta::assert_snapshot!(rest, @"
    ::error title=test::exit 2%0A1 of 2 failed%0A100%25
    ::warning::the clock is off
    ");
}

#[test]
fn no_command_of_a_build_is_obeyed() {
    let plan = plan(&[("a,b:c", "")]);
    let events = [
        start(&plan),
        queued(&plan, 0),
        started(0, 0),
        out(
            0,
            "::error::forged\n##[group]x\n::stop-commands::mine\n::mine::\n",
        ),
        notice(None, Level::Warning, "x\n::add-mask::y"),
        ended(0, StepStatus::Failed, 1, 5, "no\r\n::error::reason"),
        end(BuildStatus::Failed, 5, ""),
    ];
    let text = shown(&plan, &events);
    let (log, rest) = text.split_once("\n::secret0token::\n").unwrap();
    // The log holds what was said, all of it while commands are off.
    assert!(log.contains("[a,b:c] ##[group]x\n"), "{log}");
    let commands: Vec<_> = rest.lines().collect();
    assert_eq!(commands.len(), 2, "{rest}");
    assert!(
        commands[0].starts_with("::error title=a%2Cb%3Ac::exit 1"),
        "{rest}"
    );
    assert!(
        commands[1].starts_with("::warning::x%0A::add-mask::y"),
        "{rest}"
    );
}

#[test]
fn a_build_that_passed_has_no_annotations() {
    let plan = plan(&[("a", "")]);
    let events = [
        start(&plan),
        queued(&plan, 0),
        started(0, 0),
        passed(0, 5),
        end(BuildStatus::Passed, 5, ""),
    ];
    assert!(shown(&plan, &events).ends_with("::secret0token::\n"));
    assert_eq!(shown(&plan, &[]), "");
}

#[test]
fn a_build_without_a_blamed_step_tells_its_reason() {
    let plan = plan(&[("a", "")]);
    let events = [
        start(&plan),
        end(BuildStatus::TimedOut, 5, "the build's time of 5ms is over"),
    ];
    let text = shown(&plan, &events);
    assert!(
        text.ends_with("::error title=ci::the build's time of 5ms is over\n"),
        "{text}"
    );
}

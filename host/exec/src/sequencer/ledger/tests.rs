//! The order table, row by row, and the verdict rule.

use std::collections::BTreeMap;

use hm_plugin_protocol::{BuildStatus, Edge, EdgeKind, Step};

use super::*;
use crate::component::bindings::hm::backend::events::{
    Accepted, BuildEvent as E, Custom, Level, LogChannel, Notice, StepEnded, StepOutput,
    StepStarted,
};
use crate::component::bindings::hm::backend::types::StepStatus as S;

/// `a` → `b` (builds in), `c` alone.
fn ledger(is_observer: bool) -> Ledger {
    let step = |key: &str, image: Option<&str>| Step {
        key: key.into(),
        label: None,
        command: "true".into(),
        image: image.map(Into::into),
        env: BTreeMap::new(),
        timeout: None,
        cache: None,
        runner: None,
        runner_args: None,
        network: None,
    };
    let plan = Plan {
        pipeline: "ci".into(),
        steps: vec![
            step("a", Some("host")),
            step("b", None),
            step("c", Some("alpine")),
        ],
        edges: vec![Edge {
            before: 0,
            after: 1,
            kind: EdgeKind::BuildsIn,
        }],
        timeout: None,
    };
    let graph = Arc::new(PlanGraph::new(&plan));
    Ledger::new(Setting {
        run_id: Uuid::nil(),
        plan: Arc::new(plan),
        graph,
        is_observer,
        watch: true,
        limits: Limits {
            free_events: 3,
            output_bytes: 1000,
            ..Limits::default()
        },
    })
}

fn queued(step: u32) -> E {
    E::StepQueued(step)
}

fn started(step: u32) -> E {
    E::StepStarted(StepStarted {
        step,
        runner: "sandbox".into(),
        image: None,
    })
}

fn ended(step: u32, status: S, code: Option<i32>) -> E {
    E::StepEnded(StepEnded {
        step,
        status,
        exit_code: code,
        duration_ms: None,
        detail: None,
    })
}

fn output(step: u32, bytes: usize) -> E {
    E::StepOutput(StepOutput {
        step,
        channel: LogChannel::Stdout,
        data: vec![b'x'; bytes],
    })
}

fn notice(step: Option<u32>) -> E {
    E::Notice(Notice {
        step,
        level: Level::Info,
        message: "m".into(),
    })
}

fn accepted(url: Option<&str>) -> E {
    let watch_url = url.map(Into::into);
    E::Accepted(Accepted {
        number: None,
        organization: None,
        pipeline: "ci".into(),
        watch_url,
    })
}

/// Feeds events; returns the first violation.
fn feed(ledger: &mut Ledger, events: Vec<E>) -> Result<(), String> {
    let mut out = Vec::new();
    events.into_iter().try_for_each(|event| {
        ledger.take(event, &mut out).map_err(|fault| match fault {
            Fault::Violation(violation) => violation.0,
            Fault::Limit(hit) => hit.to_string(),
        })
    })
}

/// Runs a step as the host would see it.
fn run(ledger: &mut Ledger, step: u32, observed: Observed) {
    assert!(ledger.begin_run(step).is_ok());
    ledger.end_run(step, observed, None);
    ledger.leave_run(step);
    ledger.drained(step);
}

#[test]
fn what_the_table_forbids_is_a_violation_that_names_the_event() {
    let cases: Vec<(Vec<E>, &str)> = vec![
        (
            vec![queued(3)],
            "step-queued for step 3, and the plan has 3",
        ),
        (vec![queued(u32::MAX)], "the plan has 3"),
        (
            vec![queued(0), queued(0)],
            "step-queued comes twice for step 0 (`a`)",
        ),
        (
            vec![started(0)],
            "step-started for step 0 (`a`), which was not queued",
        ),
        (
            vec![queued(0), started(0), started(0)],
            "step-started comes twice",
        ),
        (
            vec![queued(0), queued(1), started(1)],
            "step-started for step 1 (`b`) before step 0 (`a`) has ended",
        ),
        (
            vec![output(0, 1)],
            "step-output for step 0 (`a`), which is not running",
        ),
        (vec![queued(0), output(0, 1)], "which is not running"),
        (
            vec![queued(0), started(0), output(0, 20_000)],
            "step-output of 20000 bytes, at most 16384",
        ),
        (
            vec![queued(0), started(0), output(0, 900), output(0, 900)],
            "step-output 1000",
        ),
        (vec![E::StepCacheHit(0)], "which is not queued"),
        (
            vec![queued(0), E::StepCacheHit(0)],
            "but the cache had none",
        ),
        (
            vec![queued(0), started(0), E::StepCacheHit(0)],
            "which is not queued",
        ),
        (
            vec![queued(0), ended(0, S::Passed, None)],
            "ended as passed, but never started",
        ),
        (
            vec![queued(0), started(0), ended(0, S::Passed, None)],
            "claimed passed, the host saw no run of it",
        ),
        (
            vec![queued(0), started(0), ended(0, S::Passed, Some(1))],
            "claimed passed with exit code 1",
        ),
        (
            vec![queued(0), started(0), ended(0, S::Failed, Some(0))],
            "claimed failed with exit code 0",
        ),
        (
            vec![queued(0), started(0), ended(0, S::Failed, None)],
            "neither exit code nor detail",
        ),
        (
            vec![queued(0), started(0), ended(0, S::Skipped, None)],
            "ended as skipped, but it was running",
        ),
        (
            vec![queued(0), ended(0, S::Skipped, None)],
            "was skipped without a reason",
        ),
        (vec![ended(0, S::Cancelled, None)], "which was not queued"),
        (
            vec![
                queued(0),
                ended(0, S::Cancelled, None),
                ended(0, S::Cancelled, None),
            ],
            "which has ended",
        ),
        (vec![notice(Some(9))], "notice for step 9"),
        (
            vec![notice(None), notice(None), notice(None), notice(None)],
            "notices and custom events 3",
        ),
        (
            vec![E::Custom(Custom {
                name: "n".into(),
                json: "{".into(),
            })],
            "is no JSON",
        ),
        (
            vec![E::Custom(Custom {
                name: "n".into(),
                json: "[".repeat(10_000),
            })],
            "is nested deeper than 32",
        ),
        (vec![accepted(None), accepted(None)], "accepted comes twice"),
        (
            vec![queued(0), accepted(None)],
            "accepted comes after a step's event",
        ),
        (
            vec![accepted(Some("http://example.com/1"))],
            "neither https nor http on loopback",
        ),
        (
            vec![accepted(Some("http://localhost.evil/1"))],
            "neither https nor http on loopback",
        ),
    ];
    for (events, wanted) in cases {
        let shown = format!("{events:?}");
        let got = feed(&mut ledger(false), events).expect_err(&shown);
        assert!(got.contains(wanted), "{shown}: {got}");
    }
}

#[test]
fn a_step_on_another_image_than_the_plans_is_a_violation() {
    for (step, image, is_right) in [
        (0, "host", true),
        (1, "host", true),
        (2, "alpine", true),
        (2, "host", false),
    ] {
        let mut ledger = ledger(true);
        let before = vec![queued(0), started(0), ended(0, S::Passed, None)];
        if step == 1 {
            feed(&mut ledger, before).unwrap();
        }
        let start = E::StepStarted(StepStarted {
            step,
            runner: "r".into(),
            image: Some(image.into()),
        });
        assert_eq!(
            feed(&mut ledger, vec![queued(step), start]).is_ok(),
            is_right,
            "{step} on {image}"
        );
    }
}

#[test]
fn claims_are_held_against_what_was_observed() {
    use Observed::{Exited, OutOfMemory, Signaled, TimedOut};
    for (observed, status, code, is_right) in [
        (Exited(0), S::Passed, Some(0), true),
        (Exited(0), S::Passed, None, true),
        (Exited(3), S::Passed, None, false),
        (Exited(3), S::Failed, Some(3), true),
        (Exited(3), S::Failed, Some(4), false),
        (Exited(3), S::TimedOut, None, false),
        (Signaled(9), S::Failed, Some(137), true),
        (TimedOut, S::TimedOut, Some(124), true),
        (TimedOut, S::Passed, Some(0), false),
        (OutOfMemory, S::Failed, Some(137), true),
        (OutOfMemory, S::Passed, None, false),
    ] {
        let mut ledger = ledger(false);
        feed(&mut ledger, vec![queued(0), started(0)]).unwrap();
        run(&mut ledger, 0, observed);
        let claim = feed(&mut ledger, vec![ended(0, status, code)]);
        assert_eq!(
            claim.is_ok(),
            is_right,
            "{observed:?} claimed as {status:?} {code:?}: {claim:?}"
        );
    }
}

#[test]
fn the_last_attempt_stands_and_attempts_are_bounded() {
    let mut ledger = ledger(false);
    feed(&mut ledger, vec![queued(0), started(0)]).unwrap();
    for _ in 1..ATTEMPTS_MAX {
        run(&mut ledger, 0, Observed::Exited(1));
    }
    run(&mut ledger, 0, Observed::Exited(0));
    assert!(matches!(ledger.begin_run(0), Err(RunRefused::Denied(_))));
    feed(&mut ledger, vec![ended(0, S::Passed, None)]).unwrap();
    assert_eq!(
        ledger.steps[0].reason.as_deref(),
        Some("passed on attempt 10")
    );
}

/// Else a failure could hide behind a pass that came before it.
#[test]
fn no_attempt_begins_beside_another() {
    let mut ledger = ledger(false);
    feed(&mut ledger, vec![queued(0), started(0)]).unwrap();
    assert!(ledger.begin_run(0).is_ok());
    assert!(matches!(ledger.begin_run(0), Err(RunRefused::Denied(_))));
    ledger.end_run(0, Observed::Exited(3), None);
    ledger.leave_run(0);
    let told = ledger.begin_run(0).ok().and_then(|(_, told)| told);
    assert!(told.is_some(), "the failure is told");
}

#[test]
fn a_run_that_was_cut_off_has_no_status() {
    let mut ledger = ledger(false);
    feed(&mut ledger, vec![queued(0), started(0)]).unwrap();
    run(&mut ledger, 0, Observed::Exited(0));
    assert!(ledger.begin_run(0).is_ok());
    ledger.drained(0);
    let claim = feed(&mut ledger, vec![ended(0, S::Passed, None)]);
    assert!(claim.unwrap_err().contains("the host saw no run of it"));
}

#[test]
fn a_steps_end_waits_for_its_output() {
    let mut ledger = ledger(false);
    feed(&mut ledger, vec![queued(0), started(0)]).unwrap();
    assert!(ledger.begin_run(0).is_ok());
    let mut out = Vec::new();
    ledger.take(ended(0, S::Cancelled, None), &mut out).unwrap();
    assert!(out.is_empty());
    assert!(matches!(
        ledger.drained(0),
        Some(Entry::End { step: 0, .. })
    ));
}

#[test]
fn the_outcome_follows_from_the_steps() {
    let pass = |ledger: &mut Ledger, step| {
        feed(
            ledger,
            vec![queued(step), started(step), ended(step, S::Passed, None)],
        )
        .unwrap();
    };
    let mut all = ledger(true);
    (0..3).for_each(|step| pass(&mut all, step));
    assert!(all.judge(BuildStatus::Passed).is_ok());
    for other in [
        BuildStatus::Failed,
        BuildStatus::Cancelled,
        BuildStatus::TimedOut,
    ] {
        assert!(all.judge(other).is_err(), "{other:?}");
    }
    let mut one_missing = ledger(true);
    (0..2).for_each(|step| pass(&mut one_missing, step));
    let violation = one_missing.judge(BuildStatus::Passed).unwrap_err();
    assert_eq!(
        violation.0,
        "the outcome is passed, but step 2 (`c`) never ended"
    );
    feed(
        &mut one_missing,
        vec![queued(2), started(2), ended(2, S::Failed, Some(1))],
    )
    .unwrap();
    assert!(one_missing.judge(BuildStatus::Passed).is_err());
    assert!(one_missing.judge(BuildStatus::Failed).is_ok());
}

#[test]
fn closing_ends_every_step_and_the_build() {
    let mut ledger = ledger(false);
    feed(&mut ledger, vec![queued(0), started(0), queued(2)]).unwrap();
    let error = crate::api::BackendError::Other("it fell over".into());
    let entries = ledger.close(&Verdict::error(&error));
    let kinds: Vec<_> = entries
        .iter()
        .map(|entry| match entry {
            Entry::Event(BuildEvent::StepQueued { step, .. }) => format!("queued {step}"),
            Entry::Event(BuildEvent::BuildEnd { exit_code, .. }) => format!("build {exit_code}"),
            Entry::End { step, .. } => format!("end {step}"),
            _ => "other".into(),
        })
        .collect();
    assert_eq!(kinds, ["end 0", "queued 1", "end 1", "end 2", "build 8"]);
    assert!(
        ledger
            .results()
            .iter()
            .all(|step| step.status == StepStatus::Cancelled)
    );
}

/// Else a hundred thousand of the largest would fill a disk with the record.
#[test]
fn a_large_custom_event_counts_as_many() {
    let custom = |bytes: usize| {
        E::Custom(Custom {
            name: "x".into(),
            json: format!("\"{}\"", "x".repeat(bytes)),
        })
    };
    feed(&mut ledger(false), vec![custom(400), custom(400)]).unwrap();
    assert!(feed(&mut ledger(false), vec![custom(4000)]).is_err());
}

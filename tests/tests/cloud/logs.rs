//! Logs: every line once and in order, whatever the streams do.

use std::sync::Arc;

use hm_fake_cloud::{Action, Config, Ended, Fault, Oddities, Operation, Played, Script};
use hm_tests::Build;

use super::run::exchanges;
use super::{CHAIN, TOKEN, assert_well_behaved, each, echoing, project, run, start};

/// A step that prints numbers, slowly enough to be followed.
const COUNTING: &str = "[steps.one]\nimage = \"host\"\nrun = \"\"\"\npause 0.05\n";

/// Lines of [`counting`].
const LINES: usize = 40;

fn counting() -> String {
    let mut text = COUNTING.to_owned();
    for number in 0..LINES {
        text += &format!("echo line {number}\n");
    }
    text + "\"\"\"\n"
}

#[track_caller]
fn counted(build: &Build) {
    let expected: Vec<_> = (0..LINES).map(|number| format!("line {number}")).collect();
    assert_eq!(build.step("one").stdout(), expected);
}

fn odd(oddities: Oddities) -> Config {
    Config {
        oddities,
        ..echoing()
    }
}

#[test]
fn streams_that_are_cut_overlap_or_outlive_their_token_lose_and_repeat_nothing() {
    let usual = Oddities::default;
    let oddities = [
        Oddities {
            cut_streams_after: Some(3),
            ..usual()
        },
        Oddities {
            overlapping_history: true,
            ..usual()
        },
        // Every stream after the first second is refused with a token of before.
        Oddities {
            cut_streams_after: Some(5),
            log_token_seconds: 1,
            ..usual()
        },
        Oddities {
            idle_ms: 20,
            clock_skew_seconds: 100_000,
            ..usual()
        },
    ];
    each(&oddities, |oddities| {
        let cloud = start(odd(oddities.clone()));
        let build = run(&project(&cloud, &counting())).run().expect(0).build();
        counted(&build);
        assert_well_behaved(&cloud);
    });
}

#[test]
fn a_log_token_is_renewed_before_its_end_by_the_services_own_clock() {
    let clocks = [(-100_000, 2), (100_000, 2), (-5_000, 3600)];
    each(&clocks, |&(clock_skew_seconds, log_token_seconds)| {
        let cloud = start(odd(Oddities {
            clock_skew_seconds,
            log_token_seconds,
            cut_streams_after: Some(5),
            ..Oddities::default()
        }));
        let build = run(&project(&cloud, &counting())).run().expect(0).build();
        counted(&build);
        let streams = exchanges(&cloud, Operation::StreamJobLogs);
        let refused = streams.iter().filter(|stream| stream.status == Some(401));
        assert_eq!(refused.count(), 0, "{clock_skew_seconds}");
        let minted = cloud.journal().count(Operation::GetBuildLogToken);
        assert_eq!(minted > 1, log_token_seconds == 2, "{minted} tokens");
    });
}

#[test]
fn a_stream_goes_on_after_the_last_chunk_and_does_not_wait_for_its_late_end() {
    let cloud = start(echoing());
    let build = run(&project(&cloud, &counting())).run().expect(0).build();
    counted(&build);
    let streams = exchanges(&cloud, Operation::StreamJobLogs);
    let first = streams.first().unwrap().last_event_id.as_deref();
    let last = streams.last().unwrap().last_event_id.as_deref();
    // Its own end would have come after 15 s of silence.
    let all = LINES.to_string();
    assert_eq!((first, last), (Some("0"), Some(&*all)), "{streams:#?}");
}

#[test]
fn refused_streams_leave_the_verdict_and_are_told() {
    let cloud = start(odd(Oddities {
        forbid_streams: true,
        ..Oddities::default()
    }));
    let build = run(&project(&cloud, CHAIN)).run().expect(0).build();
    build.assert_ends(&[]);
    let mut notices = build.events.iter();
    assert!(
        notices.any(|event| event["kind"] == "notice"
            && event["level"] == "warning"
            && event["message"]
                .as_str()
                .unwrap()
                .contains("log_stream_forbidden")),
        "{:#?}",
        build.events
    );
}

#[test]
fn output_that_breaks_the_service_ends_with_a_warning_and_not_never() {
    let broken = Played::new(|_| Script {
        chunks: Box::new([(0, "fine\n".into()), (0, b"\xff\n"[..].into())].into_iter()),
        ended: Ended::Exited(3),
        ..Script::default()
    });
    let cloud = start(Config::new(TOKEN, Arc::new(broken)));
    let build = run(&project(
        &cloud,
        "[steps.one]\nimage = \"host\"\nrun = \"x\"\n",
    ))
    .run()
    .expect(1)
    .build();
    build.assert_ends(&[("one", "failed", Some(3))]);
}

#[test]
fn channels_and_notes_about_the_log_are_told_apart() {
    let mixed = Played::new(|_| Script {
        chunks: Box::new(
            [
                (0, "to out\n".into()),
                (1, "to err\n".into()),
                (2, "[truncated]\n".into()),
                (0, "no end".into()),
            ]
            .into_iter(),
        ),
        ended: Ended::Signaled,
        ..Script::default()
    });
    let cloud = start(Config::new(TOKEN, Arc::new(mixed)));
    let build = run(&project(
        &cloud,
        "[steps.one]\nimage = \"host\"\nrun = \"x\"\n",
    ))
    .run()
    .expect(1)
    .build();
    let step = build.step("one");
    assert_eq!(step.stdout(), ["to out", "no end"]);
    assert_eq!(step.stderr(), ["to err"]);
    // The service has no exit code for a signal.
    assert_eq!((step.status.as_str(), step.exit_code), ("failed", None));
}

#[test]
fn old_answers_and_late_ones_change_nothing_that_was_told() {
    let actions = [Action::Stale, Action::Delay(700), Action::status(500)];
    each(&actions, |action| {
        let cloud = start(echoing());
        cloud.script(vec![
            Fault::on(Operation::ListJobs, action.clone())
                .nth(3)
                .times(4),
        ]);
        let build = run(&project(&cloud, &counting())).run().expect(0).build();
        counted(&build);
    });
}

#[test]
fn a_restart_in_the_middle_is_survived() {
    let cloud = start(echoing());
    cloud.script(vec![
        Fault::on(Operation::ListJobs, Action::Restart(800)).nth(3),
    ]);
    let build = run(&project(&cloud, &counting())).run().expect(0).build();
    counted(&build);
}

use hm_backend_sdk::EdgeKind::{BuildsIn, DependsOn};
use hm_backend_sdk::vm::ExecStatus;
use hm_backend_sdk::{BackendError, BuildStatus, EdgeKind, Plan, StepId, StepStatus};

use super::Settings;
use super::simulation::{Played, Script, VmErrorKind, plan, play, step};

fn settings(slots: usize) -> Settings {
    Settings {
        slots,
        keep_going: false,
        cache: true,
    }
}

fn keys(keys: &str, edges: &[(StepId, StepId, EdgeKind)]) -> Plan {
    plan(
        keys.chars().map(|key| step(&key.to_string())).collect(),
        edges,
    )
}

fn failing(key: &str, status: ExecStatus) -> Script {
    Script {
        statuses: [(key.to_owned(), status)].into(),
        ..Script::default()
    }
}

fn passed(played: &Played) {
    assert!(
        matches!(played.outcome, Ok(BuildStatus::Passed)),
        "{:?}",
        played.outcome
    );
    assert_eq!(played.leaked, 0);
}

#[test]
fn a_chain_stays_in_one_machine() {
    let edges: Vec<_> = (0..4).map(|at| (at, at + 1, BuildsIn)).collect();
    let played = play(keys("abcde", &edges), settings(4), Script::default());
    passed(&played);
    assert_eq!((played.boots, played.freezes, played.most_held), (1, 0, 1));
    assert_eq!(played.order, ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_fork_boots_each_branch_from_the_snapshot() {
    let played = play(
        keys("abc", &[(0, 1, BuildsIn), (0, 2, BuildsIn)]),
        settings(4),
        Script {
            freezing: 3,
            ..Script::default()
        },
    );
    passed(&played);
    assert_eq!((played.boots, played.freezes, played.took), (3, 1, 5));
}

#[test]
fn a_step_that_only_waits_does_not_wait_for_the_snapshot() {
    let edges = [(0, 1, BuildsIn), (0, 2, BuildsIn), (0, 3, DependsOn)];
    let script = Script {
        freezing: 9,
        ..Script::default()
    };
    let played = play(keys("abcd", &edges), settings(1), script);
    passed(&played);
    assert_eq!(played.order, ["a", "d", "b", "c"]);
}

#[test]
fn slots_bound_running_commands_and_machines_follow() {
    let count = 300;
    let plan = plan((0..count).map(|at| step(&at.to_string())).collect(), &[]);
    let played = play(plan, settings(8), Script::default());
    passed(&played);
    assert_eq!(
        (played.most_running, played.most_held, played.boots),
        (8, 8, count)
    );
}

#[test]
fn more_chains_than_slots_stay_in_their_machines() {
    // Ten chains of four: a chain that has no slot waits in its machine.
    let edges: Vec<_> = (0..30u32).map(|at| (at, at + 10, BuildsIn)).collect();
    let plan = plan((0..40).map(|at| step(&at.to_string())).collect(), &edges);
    let played = play(plan, settings(4), Script::default());
    passed(&played);
    assert_eq!((played.boots, played.freezes), (10, 0));
}

#[test]
fn machines_beyond_the_idle_ones_are_frozen_and_let_go() {
    let edges: Vec<_> = (0..300u32).map(|at| (at, at + 300, BuildsIn)).collect();
    let plan = plan((0..600).map(|at| step(&at.to_string())).collect(), &edges);
    let played = play(plan, settings(4), Script::default());
    passed(&played);
    assert!(played.freezes > 0);
    assert!(played.most_held <= 64, "{}", played.most_held);
}

#[test]
fn a_failure_cancels_siblings_and_skips_the_rest() {
    let script = Script {
        seconds: [("b".to_owned(), 9)].into(),
        ..failing("a", ExecStatus::Exited(3))
    };
    let played = play(keys("abcd", &[(0, 2, DependsOn)]), settings(2), script);
    assert!(matches!(played.outcome, Ok(BuildStatus::Failed)));
    use StepStatus::{Cancelled, Failed, Skipped};
    assert_eq!(played.statuses(), [Failed, Cancelled, Skipped, Skipped]);
    assert_eq!(played.ended[0].exit_code, Some(3));
    assert_eq!(played.detail(1), "because `a` failed");
    assert_eq!(played.detail(2), "`a` failed");
    assert_eq!(played.detail(3), "`a` failed");
    assert_eq!((played.took, played.leaked), (1, 0));
}

#[test]
fn keeping_going_skips_only_dependents() {
    let edges = [(0, 1, BuildsIn), (1, 2, DependsOn), (3, 4, BuildsIn)];
    let settings = Settings {
        keep_going: true,
        ..settings(1)
    };
    let played = play(
        keys("abcde", &edges),
        settings,
        failing("a", ExecStatus::TimedOut),
    );
    assert!(matches!(played.outcome, Ok(BuildStatus::Failed)));
    use StepStatus::{Passed, Skipped, TimedOut};
    assert_eq!(
        played.statuses(),
        [TimedOut, Skipped, Skipped, Passed, Passed]
    );
    assert_eq!(played.ended[0].exit_code, Some(124));
    assert_eq!(played.detail(2), "`a` timed out");
}

#[test]
fn signals_and_memory_are_told_as_shells_do() {
    let settings = Settings {
        keep_going: true,
        ..settings(2)
    };
    let mut script = failing("a", ExecStatus::Signaled(15));
    script.statuses.insert("b".into(), ExecStatus::OutOfMemory);
    let played = play(keys("ab", &[]), settings, script);
    assert_eq!(
        (played.ended[0].exit_code, played.detail(0)),
        (Some(143), "killed by signal 15")
    );
    assert_eq!(
        (played.ended[1].exit_code, played.detail(1)),
        (Some(137), "out of memory")
    );
}

#[test]
fn a_hit_stands_in_and_a_miss_is_stored() {
    let mut plan = keys("abc", &[(0, 1, BuildsIn), (1, 2, BuildsIn)]);
    plan.steps[0].cacheable = true;
    plan.steps[1].cacheable = true;
    let hit = Script {
        hits: vec!["a".into()],
        ..Script::default()
    };
    let played = play(plan.clone(), settings(2), hit.clone());
    passed(&played);
    assert_eq!(played.statuses()[0], StepStatus::CacheHit);
    assert_eq!(played.ended[0].exit_code, None);
    assert_eq!(
        (played.order, played.stored),
        (vec!["b".into(), "c".into()], vec!["b".to_owned()])
    );

    let played = play(
        plan,
        Settings {
            cache: false,
            ..settings(2)
        },
        hit,
    );
    passed(&played);
    assert_eq!(
        (played.order.len(), played.stored.len(), played.freezes),
        (3, 0, 0)
    );
}

#[test]
fn a_state_that_cannot_be_stored_is_a_warning() {
    let mut plan = keys("ab", &[(0, 1, DependsOn)]);
    plan.steps[0].cacheable = true;
    let script = Script {
        freeze_error: Some("disk full".into()),
        ..Script::default()
    };
    let played = play(plan, settings(1), script);
    passed(&played);
    assert_eq!(played.notices, ["not kept for the next build: disk full"]);
}

#[test]
fn a_state_that_heirs_need_and_cannot_be_kept_ends_the_build() {
    let script = Script {
        freeze_error: Some("disk full".into()),
        ..Script::default()
    };
    let played = play(
        keys("abc", &[(0, 1, BuildsIn), (0, 2, BuildsIn)]),
        settings(1),
        script,
    );
    let Err(BackendError::Unavailable(text)) = &played.outcome else {
        panic!("{:?}", played.outcome);
    };
    assert_eq!(text, "what `a` left behind could not be kept: disk full");
    assert_eq!(played.statuses()[0], StepStatus::Passed);
    assert_eq!(played.detail(2), "what `a` left behind could not be kept");
}

#[test]
fn an_image_that_is_not_there_ends_the_build_as_unavailable() {
    let script = Script {
        boot_error: Some(VmErrorKind::ImageNotFound),
        ..Script::default()
    };
    let played = play(keys("ab", &[(0, 1, DependsOn)]), settings(1), script);
    let Err(BackendError::Unavailable(text)) = &played.outcome else {
        panic!("{:?}", played.outcome);
    };
    assert_eq!(text, "step `a`: no image");
    assert_eq!(
        (played.detail(0), played.detail(1)),
        ("no image", "`a` could not run")
    );

    let script = Script {
        boot_error: Some(VmErrorKind::Denied),
        ..Script::default()
    };
    let played = play(keys("a", &[]), settings(1), script);
    assert!(matches!(played.outcome, Err(BackendError::Denied(_))));
}

#[test]
fn cancelling_ends_every_step() {
    let script = Script {
        cancel_at: Some(1),
        ..failing("c", ExecStatus::Exited(1))
    };
    let script = Script {
        seconds: [("a".to_owned(), 5), ("b".to_owned(), 5)].into(),
        ..script
    };
    let played = play(keys("abc", &[]), settings(2), script);
    assert!(matches!(played.outcome, Ok(BuildStatus::Cancelled)));
    assert_eq!(played.statuses(), [StepStatus::Cancelled; 3]);
    assert_eq!(played.detail(2), "the build was interrupted");
    assert_eq!(played.leaked, 0);
}

#[test]
fn fewer_machines_than_slots_slow_a_build_and_do_not_stop_it() {
    // Heirs hold the only machines while other steps are more urgent.
    let mut edges: Vec<_> = (0..20u32).map(|at| (at, at + 20, BuildsIn)).collect();
    edges.extend((40..59u32).map(|at| (at, at + 1, DependsOn)));
    let plan = plan((0..60).map(|at| step(&at.to_string())).collect(), &edges);
    for machines in [1, 2, 3] {
        for teardown in [0, 3] {
            let script = Script {
                machines,
                teardown,
                ..Script::default()
            };
            let played = play(plan.clone(), settings(4), script);
            passed(&played);
            assert!(played.notices.len() <= 1, "{:?}", played.notices);
        }
    }
}

#[test]
fn a_limit_that_never_lifts_ends_the_build() {
    let played = play(
        keys("ab", &[]),
        settings(2),
        Script {
            machines: 0,
            ..Script::default()
        },
    );
    let Err(BackendError::Unavailable(text)) = &played.outcome else {
        panic!("{:?}", played.outcome);
    };
    assert!(text.ends_with("machines 0"), "{text}");
    assert_eq!(played.notices, ["waiting for a machine: machines 0"]);
}

#[test]
fn ten_thousand_steps_in_a_row_and_side_by_side() {
    let steps = || (0..10_000).map(|at| step(&at.to_string())).collect();
    let chain: Vec<_> = (0..9_999).map(|at| (at, at + 1, BuildsIn)).collect();
    for edges in [chain, Vec::new()] {
        let played = play(plan(steps(), &edges), settings(8), Script::default());
        passed(&played);
    }
}

/// A sequence that looks random and is the same each time.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        // Constants of Knuth's MMIX generator; the upper half is the better one.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn plan_and_script(&mut self) -> (Plan, Script) {
        let mut script = Script {
            machines: 1 + self.below(10) as usize,
            teardown: self.below(3),
            freezing: self.below(3),
            ..Script::default()
        };
        let mut steps = Vec::new();
        let mut edges = Vec::new();
        for at in 0..40u32 {
            let mut step = step(&at.to_string());
            step.cacheable = self.below(3) == 0;
            script.seconds.insert(step.key.clone(), self.below(4));
            if self.below(4) == 0 {
                script.hits.push(step.key.clone());
            }
            if self.below(20) == 0 {
                script
                    .statuses
                    .insert(step.key.clone(), ExecStatus::Exited(1));
            }
            if at > 0 && self.below(3) > 0 {
                edges.push((self.below(at.into()) as StepId, at, BuildsIn));
            }
            for _ in 0..self.below(3).min(at.into()) {
                edges.push((self.below(at.into()) as StepId, at, DependsOn));
            }
            steps.push(step);
        }
        (plan(steps, &edges), script)
    }
}

#[test]
fn builds_of_any_shape_keep_the_rules_and_let_go_of_everything() {
    let mut sequence = Sequence(1);
    for round in 0..400 {
        let (plan, mut script) = sequence.plan_and_script();
        if round % 4 == 0 {
            script.cancel_at = Some(sequence.below(12));
        }
        let settings = Settings {
            slots: 1 + sequence.below(6) as usize,
            keep_going: sequence.below(2) == 0,
            cache: sequence.below(2) == 0,
        };
        // The simulation checks the order of events, the bases of runs, and that each step
        // ends.
        let played = play(plan, settings, script);
        assert_eq!(played.leaked, 0, "round {round}");
        assert!(played.most_running <= settings.slots, "round {round}");
        let bad = |status: &StepStatus| matches!(status, StepStatus::Failed | StepStatus::TimedOut);
        let failed = played.statuses().iter().any(bad);
        match played.outcome {
            Ok(BuildStatus::Passed) => assert!(!failed, "round {round}"),
            Ok(BuildStatus::Failed) => assert!(failed, "round {round}"),
            Ok(BuildStatus::Cancelled) => assert_eq!(round % 4, 0),
            other => panic!("round {round}: {other:?}"),
        }
    }
}

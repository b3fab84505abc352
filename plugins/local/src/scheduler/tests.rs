use hm_backend_sdk::EdgeKind::{BuildsIn, DependsOn};
use hm_backend_sdk::{BuildStatus, Edge, EdgeKind, StepId};

use super::*;

fn scheduler(steps: usize, edges: &[(StepId, StepId, EdgeKind)], slots: usize) -> Scheduler {
    with(steps, edges, slots, false, &[])
}

fn with(
    steps: usize,
    edges: &[(StepId, StepId, EdgeKind)],
    slots: usize,
    keep_going: bool,
    cached: &[StepId],
) -> Scheduler {
    let edges: Vec<_> = edges
        .iter()
        .map(|&(before, after, kind)| Edge {
            before,
            after,
            kind,
        })
        .collect();
    let graph = StepGraph::new(steps, &edges).unwrap();
    let cached = (0..steps as StepId)
        .map(|step| cached.contains(&step))
        .collect();
    Scheduler::new(graph, cached, slots, keep_going)
}

fn take_all(scheduler: &mut Scheduler) -> Vec<StepId> {
    std::iter::from_fn(|| scheduler.take_next()).collect()
}

#[test]
fn the_longest_path_goes_first_then_the_smaller_index() {
    // 0 and 1 stand alone; 2 → 3 → 4 is the longest path.
    let mut scheduler = scheduler(5, &[(2, 3, DependsOn), (3, 4, DependsOn)], 1);
    let mut order = Vec::new();
    while let Some(step) = scheduler.take_next() {
        order.push(step);
        scheduler.passed(step);
    }
    assert_eq!(order, [2, 3, 0, 1, 4]);
    assert_eq!(scheduler.verdict(), BuildStatus::Passed);
}

#[test]
fn slots_bound_what_runs_at_once() {
    let mut scheduler = scheduler(5, &[], 2);
    assert_eq!(take_all(&mut scheduler), [0, 1]);
    scheduler.passed(1);
    assert_eq!(take_all(&mut scheduler), [2]);
}

#[test]
fn waiting_ends_with_the_step_and_inheriting_with_its_state() {
    let mut scheduler = scheduler(3, &[(0, 1, BuildsIn), (0, 2, DependsOn)], 4);
    assert_eq!(take_all(&mut scheduler), [0]);
    scheduler.passed(0);
    assert_eq!(take_all(&mut scheduler), [2]);
    scheduler.state_kept(0);
    assert_eq!(take_all(&mut scheduler), [1]);
}

#[test]
fn a_machine_is_handed_to_the_only_heir_that_can_start() {
    let run = |scheduler: &mut Scheduler, step| {
        assert!(scheduler.claim(step));
        scheduler.passed(step);
        scheduler.legacy(step)
    };
    let only = &mut scheduler(2, &[(0, 1, BuildsIn), (0, 1, DependsOn)], 1);
    assert_eq!(run(only, 0), Legacy::HandOver(1));
    let two = &mut scheduler(3, &[(0, 1, BuildsIn), (0, 2, BuildsIn)], 1);
    assert_eq!(run(two, 0), Legacy::Freeze);
    let late = &mut scheduler(3, &[(0, 1, BuildsIn), (2, 1, DependsOn)], 2);
    assert_eq!(run(late, 0), Legacy::Freeze);
    let cached_heir = &mut with(2, &[(0, 1, BuildsIn)], 1, false, &[1]);
    assert_eq!(run(cached_heir, 0), Legacy::Freeze);
    let cached = &mut with(1, &[], 1, false, &[0]);
    assert_eq!(run(cached, 0), Legacy::Freeze);
    let none = &mut scheduler(2, &[(0, 1, DependsOn)], 1);
    assert_eq!(run(none, 0), Legacy::LetGo);
}

#[test]
fn a_failure_ends_everything() {
    let mut scheduler = scheduler(4, &[(0, 3, DependsOn)], 2);
    assert_eq!(take_all(&mut scheduler), [0, 1]);
    let aftermath = scheduler.not_passed(0);
    assert_eq!(
        aftermath,
        Aftermath {
            cancelled: vec![1],
            skipped: vec![2, 3]
        }
    );
    assert!(scheduler.is_halted());
    assert_eq!(scheduler.take_next(), None);
    assert_eq!(scheduler.verdict(), BuildStatus::Failed);
}

#[test]
fn keeping_going_spares_what_does_not_depend_on_the_failure() {
    let edges = [(0, 1, DependsOn), (1, 2, BuildsIn), (3, 4, DependsOn)];
    let mut scheduler = with(5, &edges, 2, true, &[]);
    assert_eq!(take_all(&mut scheduler), [0, 3]);
    let aftermath = scheduler.not_passed(0);
    assert_eq!(
        aftermath,
        Aftermath {
            cancelled: vec![],
            skipped: vec![1, 2]
        }
    );
    scheduler.passed(3);
    assert_eq!(take_all(&mut scheduler), [4]);
    scheduler.passed(4);
    assert_eq!(scheduler.verdict(), BuildStatus::Failed);
}

#[test]
fn a_lost_state_strikes_only_those_that_inherit_it() {
    let edges = [
        (0, 1, BuildsIn),
        (0, 2, DependsOn),
        (3, 2, DependsOn),
        (1, 4, DependsOn),
    ];
    let mut scheduler = with(5, &edges, 1, true, &[]);
    assert!(scheduler.claim(0));
    scheduler.passed(0);
    assert!(scheduler.is_wanted(0));
    let aftermath = scheduler.struck(0, Blow::StateLost);
    assert_eq!(
        aftermath,
        Aftermath {
            cancelled: vec![],
            skipped: vec![1, 4]
        }
    );
    assert!(!scheduler.is_wanted(0));
}

#[test]
fn a_step_that_is_put_back_is_taken_once_more_and_only_once() {
    let mut scheduler = scheduler(2, &[], 1);
    assert_eq!(scheduler.take_next(), Some(0));
    scheduler.put_back(0);
    assert!(scheduler.claim(0));
    assert!(!scheduler.claim(0));
    scheduler.passed(0);
    assert_eq!(take_all(&mut scheduler), [1]);
}

#[test]
fn ten_thousand_steps_in_a_row_and_in_dense_layers() {
    let chain: Vec<_> = (0..9_999).map(|step| (step, step + 1, BuildsIn)).collect();
    let layers: Vec<_> = (0..9_900u32)
        .flat_map(|step| (0..10).map(move |next| (step, (step / 100 + 1) * 100 + next, DependsOn)))
        .collect();
    for edges in [chain, layers] {
        let mut scheduler = scheduler(10_000, &edges, 8);
        let mut ended = 0;
        let mut running: Vec<StepId> = Vec::new();
        loop {
            running.extend(take_all(&mut scheduler));
            let Some(step) = running.pop() else { break };
            scheduler.passed(step);
            scheduler.state_kept(step);
            ended += 1;
        }
        assert_eq!(ended, 10_000);
    }
}

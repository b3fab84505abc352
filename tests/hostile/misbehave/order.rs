//! Events and calls that may not come, or not now (P3, P4).

use super::{PROTOCOL, broken_in, project};
use crate::stage::works;

#[test]
fn a_step_outside_the_plan_is_named_and_ends_the_build() {
    let project = project("", "true");
    for (case, event) in [
        ("queued", "step-queued"),
        ("started", "step-started"),
        ("output", "step-output"),
        ("cache-hit", "step-cache-hit"),
        ("ended", "step-ended"),
        ("notice", "notice"),
        ("boot-image", "boot-image"),
        ("boot-snapshot", "boot-snapshot"),
        ("run", "machine.run"),
        ("lookup", "cache-lookup"),
        ("store", "cache-store"),
    ] {
        // One past the end, and the last that the type takes.
        for step in [2, u32::MAX] {
            let says = format!("{PROTOCOL}: {event} for step {step}, and the plan has 2");
            broken_in(&project, &format!("{case}:{step}"), &[&says]);
        }
    }
    works(&project);
}

#[test]
fn an_event_that_may_not_come_now_is_named() {
    let project = project("", "true");
    for (case, says) in [
        ("queued-after-end", "step-queued comes twice for step 0"),
        ("started-twice", "step-started comes twice for step 0"),
        (
            "started-after-end",
            "step-started for step 0 (`a`), which has ended",
        ),
        (
            "hit-after-end",
            "step-cache-hit for step 0 (`a`), which is not queued",
        ),
        (
            "ended-unqueued",
            "step-ended for step 0 (`a`), which was not queued",
        ),
        (
            "ended-unstarted",
            "step 0 (`a`) ended as failed, but never started",
        ),
        (
            "failed-without-reason",
            "claimed failed with neither exit code nor detail",
        ),
        ("skipped-without-reason", "was skipped without a reason"),
        (
            "run-unstarted",
            "machine.run for step 0 (`a`), which has not been started",
        ),
        (
            "run-after-end",
            "machine.run for step 0 (`a`), which has not been started",
        ),
        ("output-during-run", "whose output comes from a machine"),
        ("watched-elsewhere", "neither https nor http on loopback"),
        ("watched-by-script", "neither https nor http on loopback"),
        ("watched-in-the-clear", "neither https nor http on loopback"),
        ("watched-as-user", "neither https nor http on loopback"),
    ] {
        broken_in(&project, case, &[PROTOCOL, says]);
    }
    works(&project);
}

//! The builds that a backend is run through, and what is expected of each.

use std::time::Duration;

use hm_exec::{BackendError, BuildStatus};
use hm_plugin_protocol::{LogStream, Plan, StepId, StepStatus};

use crate::check::{self, Check};
use crate::engine::{Fault, NO_IMAGE};
use crate::kit::Traits;
use crate::observe::{Observation, When};
use crate::plans::{self, Draft};

/// Time that a build which is to stop may take: less than the host's grace, after which it
/// is ended.
const SECONDS_TO_STOP: Duration = Duration::from_secs(8);

/// Lines that a noisy step prints.
const LINES: u32 = 50_000;

/// Machines that a build may hold, whatever `-j` is (decisions, "Runtime limits").
const MACHINES: usize = 64;

/// One build.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What it is about, for faults that have no other name.
    pub(crate) own: Check,
    pub(crate) plan: Plan,
    pub(crate) parallelism: u32,
    pub(crate) keep_going: bool,
    pub(crate) no_cache: bool,
    pub(crate) watch: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) fault: Fault,
    pub(crate) cancel: Option<When>,
    /// Makes sense for such backends only.
    pub(crate) applies: fn(&Traits) -> Result<(), &'static str>,
    pub(crate) judge: fn(&Observation, &mut Judge<'_>),
}

/// Takes what a scenario says of checks.
pub(crate) struct Judge<'a> {
    pub(crate) traits: &'a Traits,
    /// What can be said of which check.
    pub(crate) findings: Vec<(Check, Found)>,
}

/// What a build says of a check.
pub(crate) enum Found {
    Holds,
    /// What was seen instead.
    Fails(String),
    /// Such a backend is not held to it; why.
    Outside(&'static str),
}

impl Judge<'_> {
    /// Notes whether a check held; `what` tells what was seen instead.
    fn expect(&mut self, check: Check, holds: bool, what: impl FnOnce() -> String) {
        let found = if holds {
            Found::Holds
        } else {
            Found::Fails(what())
        };
        self.findings.push((check, found));
    }

    /// Notes that a check is no matter of this backend, unless `is_its_own`; returns that.
    fn is_held_to(&mut self, check: Check, is_its_own: bool, why: &'static str) -> bool {
        if !is_its_own {
            self.findings.push((check, Found::Outside(why)));
        }
        is_its_own
    }

    /// Expects a verdict.
    fn status(&mut self, check: Check, seen: &Observation, expected: BuildStatus) {
        let is_right = matches!(&seen.result, Ok(outcome) if outcome.status == expected);
        self.expect(check, is_right, || {
            format!(
                "the build is to be {}, and {}",
                expected.as_str(),
                told(&seen.result)
            )
        });
    }

    /// Expects the end of a step with a code that the host makes of what it sees: who runs
    /// steps elsewhere need not be told one.
    fn end_as_seen(
        &mut self,
        check: Check,
        seen: &Observation,
        step: StepId,
        (status, code): (StepStatus, i32),
    ) {
        let found = seen.end(step);
        let is_untold = matches!(found, Some((found, None, _)) if found == status);
        if self.traits.asks_vm || !is_untold {
            self.end(check, seen, step, (status, Some(code)));
        } else {
            self.expect(check, true, String::new);
        }
    }

    /// Expects a step's end.
    fn end(
        &mut self,
        check: Check,
        seen: &Observation,
        step: StepId,
        end: (StepStatus, Option<i32>),
    ) {
        let found = seen.end(step).map(|(status, code, _)| (status, code));
        self.expect(check, found == Some(end), || {
            let expected = shown(end);
            match found {
                Some(found) => format!(
                    "step {step} is to end {expected}, and ended {}",
                    shown(found)
                ),
                None => format!("step {step} is to end {expected}, and did not end"),
            }
        });
    }
}

fn shown((status, code): (StepStatus, Option<i32>)) -> String {
    match code {
        Some(code) => format!("{} ({code})", status.as_str()),
        None => status.as_str().to_owned(),
    }
}

fn told(result: &Result<hm_exec::BuildOutcome, BackendError>) -> String {
    match result {
        Ok(outcome) => format!("was {}", outcome.status.as_str()),
        Err(error) => format!("ended by an error: {error}"),
    }
}

fn always(_: &Traits) -> Result<(), &'static str> {
    Ok(())
}

/// Why checks of machines are passed over.
pub(crate) const NO_MACHINES: &str = "the backend does not run steps in machines of this host";

fn with_machines(traits: &Traits) -> Result<(), &'static str> {
    traits.asks_vm.then_some(()).ok_or(NO_MACHINES)
}

fn scenario(
    name: &'static str,
    own: Check,
    plan: Plan,
    judge: fn(&Observation, &mut Judge<'_>),
) -> Scenario {
    Scenario {
        name,
        own,
        plan,
        parallelism: 4,
        keep_going: false,
        no_cache: false,
        watch: true,
        timeout: None,
        fault: Fault::None,
        cancel: None,
        applies: always,
        judge,
    }
}

/// Returns all scenarios, in the order in which they run.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = verdicts();
    all.extend(order());
    all.extend(stops());
    all.extend(cache());
    all.extend(extremes());
    all
}

/// Every way in which a step ends.
fn verdicts() -> Vec<Scenario> {
    let one = |command: &str| Draft::new().step("one", command);
    // Whole seconds are what every service knows.
    let limit = Duration::from_secs(1);
    vec![
        scenario(
            "a step that passes",
            check::PASSES,
            one("true").plan(),
            |seen, judge| {
                judge.status(check::PASSES, seen, BuildStatus::Passed);
                judge.end(check::PASSES, seen, 0, (StepStatus::Passed, Some(0)));
            },
        ),
        scenario(
            "a step that fails",
            check::CODES,
            one("exit 3").plan(),
            |seen, judge| {
                judge.status(check::CODES, seen, BuildStatus::Failed);
                judge.end(check::CODES, seen, 0, (StepStatus::Failed, Some(3)));
            },
        ),
        scenario(
            "a step that is killed",
            check::SIGNALS,
            one("kill -9 $$").plan(),
            |seen, judge| {
                judge.status(check::SIGNALS, seen, BuildStatus::Failed);
                judge.end_as_seen(check::SIGNALS, seen, 0, (StepStatus::Failed, 137));
            },
        ),
        scenario(
            "a step over its time",
            check::TIMEOUTS,
            one("sleep 30").timeout(limit).plan(),
            |seen, judge| {
                judge.status(check::TIMEOUTS, seen, BuildStatus::Failed);
                judge.end_as_seen(check::TIMEOUTS, seen, 0, (StepStatus::TimedOut, 124));
            },
        ),
        scenario(
            "steps that print",
            check::OUTPUT,
            Draft::new()
                .step("first", "printf 'one\\ntwo\\n'; printf 'oops\\n' >&2")
                .step("second", "printf 'three'")
                .from(0)
                .plan(),
            |seen, judge| {
                let lines = [
                    (0, LogStream::Stdout, vec!["one", "two"]),
                    (0, LogStream::Stderr, vec!["oops"]),
                    (1, LogStream::Stdout, vec!["three"]),
                ];
                for (step, channel, expected) in lines {
                    let found = seen.lines(step, channel);
                    judge.expect(check::OUTPUT, found == expected, || {
                        format!("step {step} is to print {expected:?}, and {found:?} arrived")
                    });
                }
            },
        ),
    ]
}

const ALWAYS_GOES: &str = "the backend does not say that it honours --keep-going";
const NO_J: &str = "the backend does not say that it honours -j";

/// Edges, failures, and steps at once.
fn order() -> Vec<Scenario> {
    // `c` waits for the failing `b`; `d` is ready once the slow `a` is done.
    let failing = || {
        Draft::new()
            .step("a", "sleep 0.4")
            .step("b", "exit 1")
            .step("c", "true")
            .needs(1)
            .step("d", "true")
            .needs(0)
            .plan()
    };
    let mut stopping = scenario("a failure", check::STOPS, failing(), |seen, judge| {
        judge.expect(check::SKIPS, !seen.has_started(2), || {
            "step 2 waits for one that failed, and was started".into()
        });
        if !judge.is_held_to(check::STOPS, judge.traits.honors_keep_going, ALWAYS_GOES) {
            return;
        }
        judge.status(check::STOPS, seen, BuildStatus::Failed);
        judge.expect(check::STOPS, !seen.has_started(3), || {
            "step 3 was started after another had failed".into()
        });
    });
    stopping.parallelism = 2;
    let mut going = scenario(
        "a failure, going on",
        check::KEEPS,
        failing(),
        |seen, judge| {
            judge.status(check::KEEPS, seen, BuildStatus::Failed);
            judge.end(check::KEEPS, seen, 3, (StepStatus::Passed, Some(0)));
            judge.expect(check::SKIPS, !seen.has_started(2), || {
                "step 2 waits for one that failed, and was started".into()
            });
        },
    );
    going.parallelism = 2;
    going.keep_going = true;
    let mut parallel = scenario(
        "steps beside each other",
        check::AT_ONCE,
        plans::wide(9, "sleep 0.3"),
        |seen, judge| {
            judge.status(check::AT_ONCE, seen, BuildStatus::Passed);
            let most = if judge.traits.asks_vm {
                seen.counts.most_running()
            } else {
                seen.most_at_once()
            };
            judge.expect(check::AT_ONCE, most >= 2, || {
                format!("{most} step ran at one time, with -j 3")
            });
            if judge.is_held_to(check::NOT_MORE, judge.traits.honors_parallelism, NO_J) {
                judge.expect(check::NOT_MORE, most <= 3, || {
                    format!("{most} steps ran at one time, with -j 3")
                });
            }
        },
    );
    parallel.parallelism = 3;
    let chain = Draft::new()
        .step("base", "true")
        .step("left", "true")
        .from(0)
        .step("right", "true")
        .from(0)
        .step("join", "true")
        .needs(1)
        .needs(2)
        .plan();
    let diamond = scenario("steps that wait", check::WAITS, chain, |seen, judge| {
        judge.status(check::PASSES, seen, BuildStatus::Passed);
        // The host has held each start against the edges.
        judge.expect(check::WAITS, seen.result.is_ok(), || told(&seen.result));
    });
    vec![diamond, stopping, going, parallel]
}

/// Builds that are to stop.
fn stops() -> Vec<Scenario> {
    let waiting = || {
        Draft::new()
            .step("first", "sleep 1")
            .step("second", "sleep 60")
            .from(0)
            .step("third", "true")
            .needs(1)
            .plan()
    };
    let points = [
        ("cancelled at the first event", When::FirstEvent),
        ("cancelled as a step starts", When::Start),
        ("cancelled while a step runs", When::Running),
        ("cancelled after a step", When::End),
    ];
    let mut scenarios: Vec<_> = points
        .into_iter()
        .map(|(name, when)| {
            let mut stop = scenario(name, check::CANCELS, waiting(), |seen, judge| {
                judge.status(check::CANCELS, seen, BuildStatus::Cancelled);
                let took = seen.stopping.unwrap_or_default();
                judge.expect(check::CANCELS, took < SECONDS_TO_STOP, || {
                    format!("it was still there {:.1} s later", took.as_secs_f64())
                });
            });
            stop.cancel = Some(when);
            stop
        })
        .collect();
    let mut late = scenario(
        "a build over its time",
        check::TIME,
        waiting(),
        |seen, judge| {
            judge.status(check::TIME, seen, BuildStatus::TimedOut);
            judge.expect(check::TIME, seen.took < SECONDS_TO_STOP, || {
                format!("it was still there {:.1} s later", seen.took.as_secs_f64())
            });
        },
    );
    late.timeout = Some(Duration::from_millis(500));
    scenarios.push(late);
    scenarios
}

/// The same build again.
fn cache() -> Vec<Scenario> {
    let plan = || {
        Draft::new()
            .step("kept", "true")
            .cached()
            .step("kept too", "true")
            .from(0)
            .cached()
            .plan()
    };
    let reports = |traits: &Traits| match (traits.asks_vm, traits.reports_cache_hits) {
        (true, true) => Ok(()),
        (false, _) => Err(NO_MACHINES),
        (true, false) => Err("the backend does not say that it reports cache hits"),
    };
    let mut first = scenario("steps to be kept", check::CACHE, plan(), |seen, judge| {
        judge.status(check::CACHE, seen, BuildStatus::Passed);
    });
    first.applies = reports;
    let mut second = scenario(
        "the same steps again",
        check::CACHE,
        plan(),
        |seen, judge| {
            judge.status(check::CACHE, seen, BuildStatus::Passed);
            for step in 0..2 {
                judge.end(check::CACHE, seen, step, (StepStatus::CacheHit, Some(0)));
            }
        },
    );
    second.applies = reports;
    let mut fresh = scenario(
        "the same without a cache",
        check::FRESH,
        plan(),
        |seen, judge| {
            judge.status(check::FRESH, seen, BuildStatus::Passed);
            for step in 0..2 {
                judge.end(check::FRESH, seen, step, (StepStatus::Passed, Some(0)));
            }
        },
    );
    fresh.no_cache = true;
    vec![first, second, fresh]
}

/// Much, odd, and broken.
fn extremes() -> Vec<Scenario> {
    let mut wide = scenario(
        "more steps than machines",
        check::GIVES_BACK,
        plans::wide(150, "true"),
        |seen, judge| {
            judge.status(check::GIVES_BACK, seen, BuildStatus::Passed);
            let most = seen.counts.most_held();
            judge.expect(check::GIVES_BACK, most <= MACHINES, || {
                format!("{most} machines were held at one time")
            });
            let booted = seen.counts.booted();
            judge.expect(check::GIVES_BACK, booted <= 2 * seen.steps, || {
                format!("{booted} machines were booted for {} steps", seen.steps)
            });
        },
    );
    wide.applies = with_machines;
    let large = scenario(
        "2,000 steps",
        check::LARGE,
        plans::large(2000),
        |seen, judge| {
            judge.status(check::LARGE, seen, BuildStatus::Passed);
        },
    );
    let noisy = format!("seq 1 {LINES}");
    let noisy = scenario(
        "50,000 lines",
        check::OUTPUT,
        Draft::new().step("noisy", noisy).plan(),
        |seen, judge| {
            let lines = seen.lines(0, LogStream::Stdout);
            let is_whole = lines.len() == LINES as usize
                && (1..)
                    .zip(&lines)
                    .all(|(number, line): (u32, _)| *line == number.to_string());
            judge.expect(check::OUTPUT, is_whole, || {
                format!("{} lines of {LINES} arrived, or out of order", lines.len())
            });
        },
    );
    let text = scenario("any text", check::TEXT, plans::hostile(), |seen, judge| {
        judge.status(check::TEXT, seen, BuildStatus::Passed);
    });
    let mut lost = scenario(
        "a machine that is lost",
        check::LOST,
        Draft::new()
            .step("one", "true")
            .step("two", "true")
            .needs(0)
            .plan(),
        |seen, judge| {
            let is_told = match &seen.result {
                Ok(outcome) => outcome.status != BuildStatus::Cancelled,
                Err(_) => true,
            };
            judge.expect(check::LOST, is_told, || told(&seen.result));
        },
    );
    lost.fault = Fault::LoseFirst;
    lost.applies = with_machines;
    let mut absent = scenario(
        "an image that nobody has",
        check::ABSENT,
        Draft::new().step("one", "true").image(NO_IMAGE).plan(),
        |seen, judge| {
            let is_told = match &seen.result {
                Ok(outcome) => outcome.status == BuildStatus::Failed,
                Err(_) => true,
            };
            judge.expect(check::ABSENT, is_told, || told(&seen.result));
        },
    );
    absent.applies = with_machines;
    let mut submitted = scenario(
        "a build that nobody watches",
        check::SUBMITS,
        Draft::new().step("one", "sleep 2").plan(),
        |seen, judge| {
            let is_submitted = matches!(&seen.result, Ok(outcome) if outcome.submitted);
            judge.expect(check::SUBMITS, is_submitted, || told(&seen.result));
        },
    );
    submitted.watch = false;
    submitted.applies = |traits| match traits.supports_no_watch {
        true => Ok(()),
        false => Err("the backend does not say that it supports --no-watch"),
    };
    vec![wide, large, noisy, text, lost, absent, submitted]
}

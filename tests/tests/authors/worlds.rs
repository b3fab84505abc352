//! The simulated world and the real host agree: the same backends on the same pipelines,
//! natively in the one and as components in the other, tell the same of each step, in the
//! same order.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use flaky::Flaky;
use hm_backend_sdk::{Backend, BuildEvent, BuildStatus, StepStatus};
use hm_backend_testkit::{Command, Outcome, Pipeline, Played, Simulation};
use hm_plugin_local::Local;
use hm_tests::{Build, Project, example};
use machines::Machines;

/// What came of a step: status, exit code, reason.
type End = (String, Option<i64>, Option<String>);

/// A build, as both worlds tell it.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: String,
    ends: BTreeMap<String, End>,
    order: Vec<(&'static str, String)>,
}

/// A step, for both worlds.
struct Step {
    key: &'static str,
    command: &'static str,
    from: Option<&'static str>,
    needs: Option<&'static str>,
    timeout_ms: Option<u64>,
    scripted: Command,
}

fn step(key: &'static str, command: &'static str, scripted: Command) -> Step {
    Step {
        key,
        command,
        from: None,
        needs: None,
        timeout_ms: None,
        scripted: scripted.after(Duration::from_millis(10)),
    }
}

impl Step {
    fn from(mut self, parent: &'static str) -> Self {
        self.from = Some(parent);
        self
    }

    fn needs(mut self, before: &'static str) -> Self {
        self.needs = Some(before);
        self
    }

    fn timeout_ms(mut self, limit: u64) -> Self {
        self.timeout_ms = Some(limit);
        self
    }
}

/// The pipelines, each with whether it goes on after a failure.
fn scenarios() -> Vec<(&'static str, bool, Vec<Step>)> {
    let passes = || Command::exits(0);
    let hangs = || step("slow", "sleep 60", Command::hangs());
    let chain = || {
        vec![
            step("a", "true", passes()),
            step("b", "true", passes()).from("a"),
            step("c", "true", passes()).from("a"),
            step("d", "true", passes()).needs("b"),
        ]
    };
    let failing = || {
        vec![
            step("a", "true", passes()),
            step("b", "exit 3", Command::exits(3)).needs("a"),
            step("c", "true", passes()).from("b"),
            step("d", "true", passes()).needs("c"),
            step("e", "true", passes()).needs("a"),
        ]
    };
    let mut hanging = hangs().timeout_ms(1000);
    // Longer than its limit, in either world.
    hanging.scripted = Command::hangs();
    vec![
        ("one", false, vec![step("a", "true", passes())]),
        ("a chain", false, chain()),
        ("a failure", false, failing()),
        ("a failure, going on", true, failing()),
        (
            "a signal",
            false,
            vec![step("a", "kill -9 $$", Command::signaled(9))],
        ),
        (
            "a timeout",
            false,
            vec![hanging, step("z", "true", passes()).needs("slow")],
        ),
        (
            "a missing command",
            false,
            vec![step("a", "no-such-command", Command::exits(127))],
        ),
    ]
}

fn simulated<B: Backend>(steps: &[Step], keep_going: bool) -> Played {
    let mut pipeline = Pipeline::new();
    for step in steps {
        pipeline = pipeline.step(step.key).command(step.command);
        if let Some(parent) = step.from {
            pipeline = pipeline.from(parent);
        }
        if let Some(before) = step.needs {
            pipeline = pipeline.needs(before);
        }
        if let Some(limit) = step.timeout_ms {
            pipeline = pipeline.timeout_ms(limit);
        }
    }
    // One at a time: beside each other, steps end in any order.
    let mut simulation = Simulation::of(pipeline).parallelism(1);
    if keep_going {
        simulation = simulation.keep_going();
    }
    for step in steps {
        simulation = simulation.command(step.key, step.scripted.clone());
    }
    simulation.run::<B>()
}

fn real(steps: &[Step], keep_going: bool, component: Option<&PathBuf>) -> Build {
    let mut toml = "image = \"host\"\n".to_owned();
    for step in steps {
        let _ = writeln!(toml, "[steps.{}]\nrun = '{}'", step.key, step.command);
        if let Some(parent) = step.from {
            let _ = writeln!(toml, "from = \"{parent}\"");
        }
        if let Some(before) = step.needs {
            let _ = writeln!(toml, "needs = [\"{before}\"]");
        }
        if let Some(limit) = step.timeout_ms {
            let _ = writeln!(toml, "timeout = \"{}s\"", limit / 1000);
        }
    }
    let project = Project::toml(&toml);
    let mut run = project.run().args(["-j", "1"]);
    if keep_going {
        run = run.arg("-k");
    }
    if let Some(component) = component {
        let grant = project.hm(["backend", "grant"]).arg(component);
        let grant = grant.args(["--vm", "--vm-image", "host"]);
        grant.run().expect(0);
        run = run.arg("--backend").arg(component);
    }
    run.run().build()
}

fn of_simulated(played: &Played, steps: &[Step]) -> Told {
    let status = match &played.outcome {
        Outcome::Ended(BuildStatus::Passed) => "passed",
        Outcome::Ended(BuildStatus::Failed) => "failed",
        other => panic!("{other:?}\n{}", played.timeline()),
    };
    let mut order = Vec::new();
    for (_, event) in &played.events {
        let (what, step) = match event {
            BuildEvent::StepQueued(step) => ("queued", *step),
            BuildEvent::StepStarted(started) => ("started", started.step),
            BuildEvent::StepEnded(ended) => ("ended", ended.step),
            _ => continue,
        };
        order.push((what, steps[step as usize].key.to_owned()));
    }
    let ends = steps.iter().map(|step| {
        let ended = played.step(step.key).expect("every step ends");
        let (status, code) = match ended.status {
            StepStatus::Passed => ("passed", Some(0)),
            StepStatus::Failed => ("failed", ended.exit_code.map(i64::from)),
            StepStatus::TimedOut => ("timed_out", Some(124)),
            StepStatus::Skipped => ("skipped", None),
            StepStatus::Cancelled => ("cancelled", None),
            StepStatus::CacheHit => ("cache_hit", Some(0)),
        };
        (
            step.key.to_owned(),
            (status.to_owned(), code, ended.detail.clone()),
        )
    });
    Told {
        status: status.into(),
        ends: ends.collect(),
        order,
    }
}

fn of_real(build: &Build) -> Told {
    let mut places = Vec::new();
    let mut ends = BTreeMap::new();
    for (key, step) in build.steps() {
        places.push((step.queued, "queued", key.to_owned()));
        places.extend(step.started.map(|at| (at, "started", key.to_owned())));
        places.push((step.ended, "ended", key.to_owned()));
        let end = (step.status.clone(), step.exit_code, step.reason.clone());
        ends.insert(key.to_owned(), end);
    }
    places.sort();
    Told {
        status: build.status.clone(),
        ends,
        order: places
            .into_iter()
            .map(|(_, what, key)| (what, key))
            .collect(),
    }
}

#[track_caller]
fn agree<B: Backend>(component: Option<PathBuf>) {
    for (name, keep_going, steps) in scenarios() {
        let played = simulated::<B>(&steps, keep_going);
        let build = real(&steps, keep_going, component.as_ref());
        assert_eq!(of_simulated(&played, &steps), of_real(&build), "{name}");
    }
}

#[test]
fn the_built_in_scheduler_does_the_same_in_both() {
    agree::<Local>(None);
}

#[test]
fn walk_does_the_same_in_both() {
    agree::<Machines>(Some(example("machines")));
}

#[test]
fn running_again_does_the_same_in_both() {
    agree::<Flaky>(Some(example("flaky")));
}

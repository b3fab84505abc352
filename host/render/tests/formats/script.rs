//! Scripted builds: the events of a build, without a build.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use hm_plugin_protocol::{
    BuildEvent, BuildOutcome, BuildRef, BuildStatus, Edge, EdgeKind, Level, LogLines, LogStream,
    Plan, PlanGraph, PlanSummary, Step, StepId, StepStatus,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// A plan of `(key, parent)`, where a parent that starts with `+` is only waited for.
pub(crate) fn plan(steps: &[(&str, &str)]) -> Plan {
    let index = |key: &str| steps.iter().position(|(k, _)| *k == key).unwrap() as StepId;
    let mut edges = Vec::new();
    for (key, parent) in steps.iter().filter(|(_, parent)| !parent.is_empty()) {
        let (kind, parent) = match parent.strip_prefix('+') {
            Some(parent) => (EdgeKind::DependsOn, parent),
            None => (EdgeKind::BuildsIn, *parent),
        };
        edges.push(Edge {
            before: index(parent),
            after: index(key),
            kind,
        });
    }
    let steps = steps.iter().map(|(key, _)| step(key)).collect();
    Plan {
        pipeline: "ci".into(),
        steps,
        edges,
        timeout: None,
    }
}

fn step(key: &str) -> Step {
    Step {
        key: key.into(),
        label: Some(key.into()),
        command: format!("make {key}"),
        image: None,
        env: BTreeMap::new(),
        timeout: None,
        cache: None,
        runner: None,
        runner_args: None,
        network: None,
    }
}

/// The moment `ms` milliseconds into the build.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_millis(ms)
}

pub(crate) fn start(plan: &Plan) -> BuildEvent {
    BuildEvent::BuildStart {
        run_id: Uuid::nil(),
        plan: PlanSummary {
            step_count: plan.steps.len(),
            chain_count: PlanGraph::new(plan).chains(plan).count,
            default_runner: "vm".into(),
        },
        started_at: at(0),
    }
}

pub(crate) fn queued(plan: &Plan, step: StepId) -> BuildEvent {
    let parent = PlanGraph::new(plan).parent(step);
    BuildEvent::StepQueued {
        step_id: Uuid::nil(),
        step,
        key: plan.steps[step as usize].key.clone(),
        chain_idx: 0,
        parent_key: parent.map(|parent| plan.steps[parent as usize].key.clone()),
        display_name: plan.steps[step as usize].display_name(),
    }
}

pub(crate) fn started(step: StepId, ms: i64) -> BuildEvent {
    BuildEvent::StepStart {
        step_id: Uuid::nil(),
        step,
        runner: "sandbox".into(),
        image: (step == 0).then(|| "host".into()),
        ts: at(ms),
    }
}

pub(crate) fn log(step: StepId, stream: LogStream, text: &str) -> BuildEvent {
    BuildEvent::StepLog(LogLines::new(
        Uuid::nil(),
        step,
        stream,
        at(1),
        text.to_owned(),
    ))
}

pub(crate) fn piece(step: StepId, stream: LogStream, text: &str) -> BuildEvent {
    BuildEvent::StepLog(LogLines::new(Uuid::nil(), step, stream, at(1), text.to_owned()).partial())
}

pub(crate) fn out(step: StepId, text: &str) -> BuildEvent {
    log(step, LogStream::Stdout, text)
}

pub(crate) fn err(step: StepId, text: &str) -> BuildEvent {
    log(step, LogStream::Stderr, text)
}

pub(crate) fn hit(step: StepId) -> BuildEvent {
    BuildEvent::StepCacheHit {
        step_id: Uuid::nil(),
        step,
        key: "9f2c".into(),
        tag: "snap-9f2c".into(),
    }
}

/// The end of a step: status, exit code, milliseconds, reason.
pub(crate) fn ended(
    step: StepId,
    status: StepStatus,
    exit_code: impl Into<Option<i32>>,
    duration_ms: u64,
    reason: &str,
) -> BuildEvent {
    BuildEvent::StepEnd {
        step_id: Uuid::nil(),
        step,
        exit_code: exit_code.into(),
        duration_ms,
        snapshot: None,
        status,
        reason: (!reason.is_empty()).then(|| reason.into()),
        observed: !matches!(status, StepStatus::Skipped | StepStatus::CacheHit),
        ts: at(2000),
    }
}

pub(crate) fn passed(step: StepId, duration_ms: u64) -> BuildEvent {
    ended(step, StepStatus::Passed, 0, duration_ms, "")
}

pub(crate) fn notice(step: Option<StepId>, level: Level, message: &str) -> BuildEvent {
    BuildEvent::Notice {
        step_id: step.map(|_| Uuid::nil()),
        step,
        level,
        message: message.into(),
        ts: at(1),
    }
}

pub(crate) fn end(status: BuildStatus, duration_ms: u64, reason: &str) -> BuildEvent {
    BuildEvent::BuildEnd {
        exit_code: status.exit_code(),
        duration_ms,
        status,
        reason: (!reason.is_empty()).then(|| reason.into()),
    }
}

/// One build with something of everything that can be told.
pub(crate) fn everything() -> (Plan, Vec<BuildEvent>) {
    let plan = plan(&[
        ("base", ""),
        ("build", "base"),
        ("test", "build"),
        ("slow", "build"),
        ("deploy", "+test"),
    ]);
    let mut events = vec![start(&plan), queued(&plan, 0), hit(0)];
    events.push(ended(0, StepStatus::CacheHit, 0, 0, ""));
    events.extend([
        queued(&plan, 1),
        started(1, 0),
        notice(Some(1), Level::Warning, "the clock is off"),
    ]);
    events.extend([
        out(1, "cc a.c\ncc b.c\n"),
        err(1, "warning: unused\n"),
        passed(1, 1200),
    ]);
    events.extend([
        queued(&plan, 2),
        started(2, 1200),
        queued(&plan, 3),
        started(3, 1200),
    ]);
    events.extend([
        out(3, "sleeping\n"),
        out(2, "\x1b[31m1 of 2 failed\x1b[0m\n10%\r100%\n"),
    ]);
    events.push(ended(2, StepStatus::Failed, 2, 1500, ""));
    events.push(BuildEvent::ChainFailed {
        chain_idx: 1,
        failed_step_id: Uuid::nil(),
        failed_step_key: "test".into(),
        exit_code: 2,
        message: "step 'test' exited with code 2".into(),
        ts: at(2700),
    });
    events.push(ended(3, StepStatus::Cancelled, None, 1500, "`test` failed"));
    events.push(queued(&plan, 4));
    events.push(ended(
        4,
        StepStatus::Skipped,
        None,
        0,
        "needs `test`, which failed",
    ));
    events.push(end(BuildStatus::Failed, 2700, ""));
    (plan, events)
}

/// A build that a service took and that nobody watched.
pub(crate) fn submitted() -> (BuildEvent, BuildOutcome) {
    let build = BuildRef {
        run_id: Uuid::nil(),
        number: Some(12),
        org: Some("acme".into()),
        pipeline: "ci".into(),
    };
    let watch_url = Some("https://app.example.test/12".to_owned());
    let accepted = BuildEvent::BuildAccepted {
        build: build.clone(),
        watch_url: watch_url.clone(),
    };
    let outcome = BuildOutcome {
        build,
        status: BuildStatus::Passed,
        reason: None,
        steps: Vec::new(),
        started_at: at(0),
        finished_at: at(10),
        watch_url,
        submitted: true,
    };
    (accepted, outcome)
}

/// A writer whose bytes can be read while a renderer holds it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.take()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that has gone away.
pub(crate) struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

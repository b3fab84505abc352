//! One build, and everything that was seen of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hm_exec::{
    BackendError, BuildEvent, BuildOutcome, ComponentBackend, Control, EventStream,
    ExecutionBackend, RunRequest,
};
use hm_plugin_protocol::{LogStream, StepId, StepStatus};

use crate::engine::Counts;

/// When a build is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// At once.
    FirstEvent,
    /// When the first step starts.
    Start,
    /// When its command has been running for a while.
    Running,
    /// When the first step has ended.
    End,
}

/// A build that is over.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) events: Vec<(Instant, BuildEvent)>,
    pub(crate) result: Result<BuildOutcome, BackendError>,
    /// From the wish to the end, if the build was cancelled.
    pub(crate) stopping: Option<Duration>,
    pub(crate) took: Duration,
    pub(crate) counts: Arc<Counts>,
    pub(crate) steps: usize,
}

/// Runs a build to its end, whatever it does.
pub(crate) async fn build(
    backend: &ComponentBackend,
    request: RunRequest,
    cancel: Option<When>,
    counts: Arc<Counts>,
) -> Observation {
    let began = Instant::now();
    let steps = request.plan.steps.len();
    let (events, result, stopping) = match backend.start(request).await {
        Err(error) => (Vec::new(), Err(error), None),
        Ok(handle) => {
            let (stream, control) = handle.into_parts();
            follow(stream, control, cancel).await
        }
    };
    Observation {
        events,
        result,
        stopping,
        took: began.elapsed(),
        counts,
        steps,
    }
}

/// Between a step's start and a cancellation in its midst.
const A_WHILE: Duration = Duration::from_millis(200);

async fn follow(
    mut stream: EventStream,
    control: Control,
    cancel: Option<When>,
) -> (
    Vec<(Instant, BuildEvent)>,
    Result<BuildOutcome, BackendError>,
    Option<Duration>,
) {
    let mut events = Vec::new();
    let mut asked = None;
    while let Some(event) = stream.next().await {
        let is_now = asked.is_none()
            && match cancel {
                None => false,
                Some(When::FirstEvent) => true,
                Some(When::Start | When::Running) => matches!(event, BuildEvent::StepStart { .. }),
                Some(When::End) => matches!(event, BuildEvent::StepEnd { .. }),
            };
        events.push((Instant::now(), event));
        if is_now {
            if cancel == Some(When::Running) {
                tokio::time::sleep(A_WHILE).await;
            }
            asked = Some(Instant::now());
            control.cancel();
        }
    }
    let result = control.wait().await;
    (events, result, asked.map(|at| at.elapsed()))
}

impl Observation {
    /// Returns how a step ended, and why.
    pub(crate) fn end(&self, index: StepId) -> Option<(StepStatus, Option<i32>, Option<&str>)> {
        self.events.iter().find_map(|(_, event)| match event {
            BuildEvent::StepEnd {
                step,
                status,
                exit_code,
                reason,
                ..
            } if *step == index => Some((*status, *exit_code, reason.as_deref())),
            _ => None,
        })
    }

    /// Returns true if a step was told to start.
    pub(crate) fn has_started(&self, index: StepId) -> bool {
        self.events
            .iter()
            .any(|(_, event)| matches!(event, BuildEvent::StepStart { step, .. } if *step == index))
    }

    /// Returns the steps that were told to run at one time, at most.
    pub(crate) fn most_at_once(&self) -> usize {
        let (mut now, mut most) = (0_usize, 0);
        let mut open = vec![false; self.steps];
        for (_, event) in &self.events {
            match event {
                BuildEvent::StepStart { step, .. } => {
                    open[*step as usize] = true;
                    now += 1;
                }
                BuildEvent::StepEnd { step, .. } if open[*step as usize] => {
                    open[*step as usize] = false;
                    now -= 1;
                }
                _ => {}
            }
            most = most.max(now);
        }
        most
    }

    /// Returns the lines that a step printed on a channel.
    pub(crate) fn lines(&self, index: StepId, channel: LogStream) -> Vec<String> {
        let mut lines = Vec::new();
        for (_, event) in &self.events {
            if let BuildEvent::StepLog(log) = event
                && log.step == index
                && log.stream == channel
            {
                lines.extend(log.lines().map(str::to_owned));
            }
        }
        lines
    }
}

//! What is fuzzed and measured from outside the room, and is no part of its API: only with
//! the feature `internals`, which nothing that is shipped turns on.

use std::sync::Arc;

use bytes::Bytes;
use hm_plugin_protocol::{BuildEvent, BuildStatus, LogStream, Plan, PlanGraph, StepId};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::api::BackendError;
use crate::component::bindings::hm::backend::events as wit;
use crate::component::bindings::hm::backend::types::StepStatus;
use crate::sequencer::{Entry, Ledger, Setting, Verdict, sequence};

/// Reads a component's bytes as the reading process does, in this one.
///
/// # Errors
/// What is wrong with them.
pub fn read_component(bytes: &[u8]) -> Result<(), String> {
    crate::component::read_report(bytes)
}

/// Reads a pattern of the HTTP policy. Returns its one spelling and, if it covers a request to
/// `uri`, the URL that would be sent.
pub fn judge(pattern: &str, uri: &str) -> Option<(String, Option<String>)> {
    let pattern: crate::Pattern = pattern.parse().ok()?;
    Some((pattern.to_string(), pattern.sent(uri)))
}

fn ledger(plan: &Plan, is_observer: bool) -> Ledger {
    Ledger::new(Setting {
        run_id: Uuid::nil(),
        plan: Arc::new(plan.clone()),
        graph: Arc::new(PlanGraph::new(plan)),
        is_observer,
        watch: true,
        limits: crate::Limits::default(),
    })
}

/// Takes events that `choices` picks, until one is refused, and closes the build. Returns
/// everything that a reader would see; output is left out.
pub fn play(plan: &Plan, is_observer: bool, choices: &[u8]) -> Vec<BuildEvent> {
    let mut ledger = ledger(plan, is_observer);
    let mut entries = Vec::new();
    let events = choices
        .chunks_exact(3)
        .map(|c| pick(plan, c[0], c[1], c[2]));
    let mut fault = None;
    for event in events {
        if let Err(error) = ledger.take(event, &mut entries) {
            fault = Some(error);
            break;
        }
    }
    let is_whole = fault.is_none() && ledger.end_of_events(false).is_ok();
    let claimed = [
        BuildStatus::Passed,
        BuildStatus::Failed,
        BuildStatus::Cancelled,
        BuildStatus::TimedOut,
    ];
    let status = claimed[choices.len() % claimed.len()];
    let verdict = if is_whole && ledger.judge(status).is_ok() {
        Verdict::claimed(status, false)
    } else {
        Verdict::error(&BackendError::Other("fuzzed".into()))
    };
    entries.extend(ledger.close(&verdict));
    entries
        .into_iter()
        .flat_map(|entry| match entry {
            Entry::Event(event) => vec![event],
            Entry::End { events, .. } => events,
            Entry::Output { .. } => Vec::new(),
        })
        .collect()
}

fn pick(plan: &Plan, kind: u8, which: u8, how: u8) -> wit::BuildEvent {
    use wit::BuildEvent as E;
    // One past the end now and then.
    let step = StepId::from(which) % (plan.steps.len() as StepId + 1);
    let text = || "x".repeat(usize::from(how) * 40);
    match kind % 9 {
        0 => E::Accepted(wit::Accepted {
            number: Some(u64::from(how)),
            organization: None,
            pipeline: text(),
            watch_url: (how > 200).then(|| "https://x.example".into()),
        }),
        1 | 2 => E::StepQueued(step),
        3 | 4 => E::StepStarted(wit::StepStarted {
            step,
            runner: "fuzz".into(),
            image: (how > 250).then(text),
        }),
        5 => E::StepOutput(output(step, vec![how; usize::from(how)])),
        6 => E::StepCacheHit(step),
        7 => E::StepEnded(wit::StepEnded {
            step,
            status: [
                StepStatus::Passed,
                StepStatus::Failed,
                StepStatus::Skipped,
                StepStatus::Cancelled,
                StepStatus::CacheHit,
                StepStatus::TimedOut,
            ][usize::from(how % 6)],
            exit_code: (how > 127).then(|| i32::from(how) - 128),
            duration_ms: None,
            detail: how.is_multiple_of(5).then(text),
        }),
        _ => E::Custom(wit::Custom {
            name: "fuzz".into(),
            json: "[".repeat(usize::from(how % 40)) + &"]".repeat(usize::from(how % 40)),
        }),
    }
}

fn output(step: StepId, data: Vec<u8>) -> wit::StepOutput {
    wit::StepOutput {
        step,
        channel: wit::LogChannel::Stdout,
        data,
    }
}

/// Sends a build's events through the queue to a reader: with the ledger and the sequencer
/// between (`is_judged`), or as they are. Every step prints `lines` lines of 80 bytes.
/// Returns how many events came.
pub async fn events(plan: &Plan, lines: usize, is_judged: bool) -> usize {
    let (queue, entries) = mpsc::channel(32);
    let (sender, mut reader) = mpsc::channel(32);
    let sequencing = tokio::spawn(pass_on(entries, sender, is_judged));
    let mut ledger = ledger(plan, true);
    let line = Bytes::from([&[b'x'; 79][..], b"\n"].concat());
    let plan = plan.clone();
    let sending = tokio::spawn(async move {
        for step in 0..plan.steps.len() as StepId {
            let mut out = Vec::new();
            for event in honest(step) {
                if is_judged {
                    // An honest observer's events are never refused.
                    let _ = ledger.take(event, &mut out);
                } else {
                    out.push(Entry::Event(plain(step)));
                }
            }
            let text = Entry::Output {
                step,
                stream: LogStream::Stdout,
                data: line.repeat(lines).into(),
            };
            out.insert(out.len() - 1, text);
            if queue.send(out).await.is_err() {
                return;
            }
        }
    });
    let mut count = 0;
    while let Some(event) = reader.recv().await {
        std::hint::black_box(&event);
        count += 1;
    }
    let _ = sending.await;
    let _ = sequencing.await;
    count
}

async fn pass_on(
    mut entries: mpsc::Receiver<Vec<Entry>>,
    sender: mpsc::Sender<BuildEvent>,
    is_judged: bool,
) {
    if is_judged {
        return sequence(Uuid::nil(), entries, sender, None).await;
    }
    while let Some(batch) = entries.recv().await {
        for entry in batch {
            let event = match entry {
                Entry::Event(event) => event,
                Entry::Output { step, .. } | Entry::End { step, .. } => plain(step),
            };
            let _ = sender.send(event).await;
        }
    }
}

fn honest(step: StepId) -> [wit::BuildEvent; 3] {
    use wit::BuildEvent as E;
    [
        E::StepQueued(step),
        E::StepStarted(wit::StepStarted {
            step,
            runner: "bench".into(),
            image: None,
        }),
        E::StepEnded(wit::StepEnded {
            step,
            status: StepStatus::Passed,
            exit_code: Some(0),
            duration_ms: None,
            detail: None,
        }),
    ]
}

fn plain(step: StepId) -> BuildEvent {
    BuildEvent::StepCacheHit {
        step_id: Uuid::nil(),
        step,
        key: String::new(),
        tag: String::new(),
    }
}

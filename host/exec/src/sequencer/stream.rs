//! The queue of checked entries, and the task that turns it into the event stream.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use hm_plugin_protocol::{BuildEvent, LogLines, LogStream, StepId};
use jiff::Timestamp;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::lines::{Assembler, Piece};
use super::mask::{Mask, Masker};

/// Something that was checked and may be told.
pub(crate) enum Entry {
    /// As it is.
    Event(BuildEvent),
    /// Bytes that a step printed.
    Output {
        /// By which step.
        step: StepId,
        /// Where.
        stream: LogStream,
        /// Cut anywhere.
        data: Bytes,
    },
    /// The end of a step: lines without an end come before it.
    End {
        /// Which step.
        step: StepId,
        /// What to tell, in order.
        events: Vec<BuildEvent>,
    },
}

/// Where entries go. Bounded: who reads slowly holds the guest and the machines back.
pub(crate) type Queue = mpsc::Sender<Vec<Entry>>;

/// Bytes of an event for each place that must be free in the stream of events: a line of 16 MiB
/// may be four times that after cleaning, and a slow reader would let many of them wait.
const PLACE: usize = 1 << 20;

/// Hands an event on as soon as the reader has room for one of its size.
async fn send(events: &mpsc::Sender<BuildEvent>, event: BuildEvent) {
    let bytes = match &event {
        BuildEvent::StepLog(lines) => lines.text().len(),
        _ => 0,
    };
    let places = (bytes / PLACE).clamp(1, events.max_capacity());
    // A reader that went away is not waited for.
    if let Ok(mut free) = events.reserve_many(places).await
        && let Some(place) = free.next()
    {
        place.send(event);
    }
}

/// Turns entries into events until the last one, the end of the build. A reader that went
/// away is not waited for.
pub(crate) async fn sequence(
    run_id: Uuid,
    mut queue: mpsc::Receiver<Vec<Entry>>,
    events: mpsc::Sender<BuildEvent>,
    mask: Option<Arc<Mask>>,
) {
    let mut maskers = Maskers::new(mask);
    let mut lines = Assembler::default();
    let batch = |step, stream, piece: Piece| {
        let lines = LogLines::new(
            step_id(run_id, step),
            step,
            stream,
            Timestamp::now(),
            piece.text,
        );
        BuildEvent::StepLog(if piece.is_partial {
            lines.partial()
        } else {
            lines
        })
    };
    while let Some(entries) = queue.recv().await {
        for entry in entries {
            match entry {
                Entry::Event(mut event) => {
                    maskers.event(&mut event);
                    let is_last = matches!(event, BuildEvent::BuildEnd { .. });
                    send(&events, event).await;
                    if is_last {
                        return;
                    }
                }
                Entry::Output { step, stream, data } => {
                    let data = maskers.push(step, stream, data);
                    if let Some(piece) = lines.push(step, stream, &data) {
                        send(&events, batch(step, stream, piece)).await;
                    }
                }
                Entry::End { step, events: ends } => {
                    for stream in [LogStream::Stdout, LogStream::Stderr] {
                        let held = maskers.finish(step, stream);
                        let pieces = held.and_then(|held| lines.push(step, stream, &held));
                        for piece in pieces.into_iter().chain(lines.finish(step, stream)) {
                            send(&events, batch(step, stream, piece)).await;
                        }
                    }
                    for mut event in ends {
                        maskers.event(&mut event);
                        send(&events, event).await;
                    }
                }
            }
        }
    }
}

/// Hides secrets in each channel by itself. Does nothing where there are none.
struct Maskers {
    mask: Option<Arc<Mask>>,
    open: HashMap<(StepId, LogStream), Masker>,
}

impl Maskers {
    fn new(mask: Option<Arc<Mask>>) -> Self {
        Self {
            mask,
            open: HashMap::new(),
        }
    }

    fn push(&mut self, step: StepId, stream: LogStream, data: Bytes) -> Bytes {
        let Some(mask) = &self.mask else {
            return data;
        };
        let masker = self.open.entry((step, stream));
        masker
            .or_insert_with(|| Masker::new(mask.clone()))
            .push(&data)
    }

    /// Returns what was held back at the end of a channel.
    fn finish(&mut self, step: StepId, stream: LogStream) -> Option<Bytes> {
        let held = self.open.remove(&(step, stream))?.finish();
        (!held.is_empty()).then_some(held)
    }

    fn event(&self, event: &mut BuildEvent) {
        if let Some(mask) = &self.mask {
            mask.event(event);
        }
    }
}

/// Returns the identity of a step within a run: the same in events, outcome and record.
pub(crate) fn step_id(run_id: Uuid, step: StepId) -> Uuid {
    Uuid::new_v5(&run_id, &step.to_le_bytes())
}

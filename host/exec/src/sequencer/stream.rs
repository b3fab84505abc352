//! The queue of checked entries, and the task that turns it into the event stream.

use bytes::Bytes;
use hm_plugin_protocol::{BuildEvent, LogLines, LogStream, StepId};
use jiff::Timestamp;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::lines::{Assembler, Piece};

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

/// Turns entries into events until the last one, the end of the build. A reader that went
/// away is not waited for.
pub(crate) async fn sequence(
    run_id: Uuid,
    mut queue: mpsc::Receiver<Vec<Entry>>,
    events: mpsc::Sender<BuildEvent>,
) {
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
                Entry::Event(event) => {
                    let is_last = matches!(event, BuildEvent::BuildEnd { .. });
                    let _ = events.send(event).await;
                    if is_last {
                        return;
                    }
                }
                Entry::Output { step, stream, data } => {
                    if let Some(piece) = lines.push(step, stream, &data) {
                        let _ = events.send(batch(step, stream, piece)).await;
                    }
                }
                Entry::End { step, events: ends } => {
                    for stream in [LogStream::Stdout, LogStream::Stderr] {
                        if let Some(piece) = lines.finish(step, stream) {
                            let _ = events.send(batch(step, stream, piece)).await;
                        }
                    }
                    for event in ends {
                        let _ = events.send(event).await;
                    }
                }
            }
        }
    }
}

/// Returns the identity of a step within a run: the same in events, outcome and record.
pub(crate) fn step_id(run_id: Uuid, step: StepId) -> Uuid {
    Uuid::new_v5(&run_id, &step.to_le_bytes())
}

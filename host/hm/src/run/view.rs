//! The reader side of a build: every event first to the record, then to the view.
//!
//! Two threads in a row, so that a batch is being written while the one before is shown:
//!
//! ```text
//! EventStream ──► recorder ──(a few batches)──► viewer ──► standard output or error
//! ```
//!
//! Both channels are bounded, and a slow reader holds the build back. A batch is in the
//! record before the viewer gets it. A reader that has gone, or a record that cannot be
//! written, cancels the build; the events are then taken all the same, to its end.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hm_exec::{Canceller, EventStream};
use hm_plugin_protocol::{BuildEvent, BuildOutcome};
use hm_render::Renderer;
use jiff::Timestamp;
use tokio::runtime::Handle;

use super::notes::Note;
use super::record::Record;
use super::reports::Reports;
use crate::terminal::Terminal;

/// Time between two frames of the live view.
const TICK: Duration = Duration::from_millis(100);

/// Events and bytes of output that are handled together at the most.
const BATCH_EVENTS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// Bytes in a batch after which more is soon to come, and how long it is then waited for: a
/// file takes many small writes at half the speed of few large ones.
const FLOOD_BYTES: usize = 16 << 10;
const FLOOD_PAUSE: Duration = Duration::from_micros(250);

/// Batches between recorder and viewer.
const BATCHES: usize = 2;

/// The threads of a build that runs.
pub(super) struct Viewing {
    recorder: JoinHandle<Recorded>,
    viewer: JoinHandle<io::Result<()>>,
    outcome: Sender<Option<BuildOutcome>>,
    /// For lines beside the events.
    pub(super) notes: Sender<Note>,
}

/// What became of the record.
pub(super) struct Recorded {
    /// To be finished with the exit code.
    pub(super) record: Record,
    /// To be written.
    pub(super) reports: Reports,
    /// Why the record is not complete.
    pub(super) failed: Option<io::Error>,
}

/// What became of both.
pub(super) struct Viewed {
    /// The record; none if its thread broke.
    pub(super) recorded: Option<Recorded>,
    /// Whether everything reached the reader.
    pub(super) shown: io::Result<()>,
}

impl Viewing {
    /// Starts reading `events`. Must be called on the runtime that runs the build.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        events: EventStream,
        files: (Record, Reports),
        renderer: Box<dyn Renderer>,
        canceller: &Canceller,
    ) -> io::Result<Self> {
        let (batches, batches_in) = sync_channel(BATCHES);
        let (outcome, outcome_in) = channel();
        let (notes, notes_in) = channel();
        let (handle, cancel) = (Handle::current(), canceller.clone());
        let recorder = thread::Builder::new()
            .name("hm-record".into())
            .spawn(move || take(&handle, events, files, batches, &cancel))?;
        let cancel = canceller.clone();
        let viewer = thread::Builder::new()
            .name("hm-view".into())
            .spawn(move || {
                let shown = Viewer {
                    renderer,
                    notes: notes_in,
                    last_tick: Instant::now(),
                }
                .show(&batches_in, &outcome_in);
                if shown.is_err() {
                    // Who closed the pipe is gone, and nobody else waits for this build.
                    cancel.cancel();
                }
                shown
            })?;
        Ok(Self {
            recorder,
            viewer,
            outcome,
            notes,
        })
    }

    /// Waits until all events are written and shown, and ends the view with the outcome.
    pub(super) fn finish(self, outcome: Option<BuildOutcome>) -> Viewed {
        // A viewer that has ended already does not need it.
        let _ = self.outcome.send(outcome);
        let recorded = self.recorder.join().ok();
        let shown = self
            .viewer
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the view broke off")));
        Viewed { recorded, shown }
    }
}

/// Takes events until there are no more, and hands them on when they are on disk.
fn take(
    handle: &Handle,
    mut events: EventStream,
    (mut record, mut reports): (Record, Reports),
    batches: SyncSender<Vec<BuildEvent>>,
    canceller: &Canceller,
) -> Recorded {
    let mut failed = None;
    let (mut is_shown, mut is_flood) = (true, false);
    while let Some(first) = handle.block_on(events.next()) {
        if is_flood {
            thread::sleep(FLOOD_PAUSE);
        }
        let (batch, bytes) = gather(first, &mut events);
        is_flood = bytes >= FLOOD_BYTES;
        if failed.is_none()
            && let Err(error) = write(&mut record, &batch)
        {
            failed = Some(error);
            canceller.cancel();
        }
        for event in &batch {
            reports.event(event);
        }
        is_shown = is_shown && batches.send(batch).is_ok();
    }
    Recorded {
        record,
        reports,
        failed,
    }
}

/// Returns an event and those that are there already, and how many bytes of output they are.
fn gather(first: BuildEvent, events: &mut EventStream) -> (Vec<BuildEvent>, usize) {
    let weight = |event: &BuildEvent| match event {
        BuildEvent::StepLog(lines) => lines.text().len(),
        _ => 0,
    };
    let mut bytes = weight(&first);
    let mut batch = vec![first];
    while batch.len() < BATCH_EVENTS && bytes < BATCH_BYTES {
        let Some(event) = events.try_next() else {
            break;
        };
        bytes += weight(&event);
        batch.push(event);
    }
    (batch, bytes)
}

fn write(record: &mut Record, batch: &[BuildEvent]) -> io::Result<()> {
    for event in batch {
        record.event(event)?;
    }
    record.flush()
}

struct Viewer {
    renderer: Box<dyn Renderer>,
    notes: Receiver<Note>,
    last_tick: Instant,
}

impl Viewer {
    /// Shows batches until there are no more, then the end.
    fn show(
        mut self,
        batches: &Receiver<Vec<BuildEvent>>,
        outcome: &Receiver<Option<BuildOutcome>>,
    ) -> io::Result<()> {
        loop {
            match batches.recv_timeout(TICK.saturating_sub(self.last_tick.elapsed())) {
                Ok(batch) => {
                    self.batch(&batch)?;
                    while let Ok(batch) = batches.try_recv() {
                        self.batch(&batch)?;
                    }
                    self.renderer.flush()?;
                }
                Err(RecvTimeoutError::Timeout) => self.tick()?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.told()?;
        let outcome = outcome.recv().unwrap_or(None);
        self.renderer.finish(outcome.as_ref())
    }

    fn batch(&mut self, batch: &[BuildEvent]) -> io::Result<()> {
        for event in batch {
            self.renderer.event(event)?;
        }
        if self.last_tick.elapsed() >= TICK {
            self.tick()
        } else {
            Ok(())
        }
    }

    fn tick(&mut self) -> io::Result<()> {
        self.last_tick = Instant::now();
        self.told()?;
        self.renderer.tick(Timestamp::now(), Terminal::size())
    }

    /// Shows lines beside the events as notices.
    fn told(&mut self) -> io::Result<()> {
        let now = Timestamp::now();
        while let Ok((level, message)) = self.notes.try_recv() {
            self.renderer.event(&BuildEvent::Notice {
                step_id: None,
                step: None,
                level,
                message,
                ts: now,
            })?;
        }
        Ok(())
    }
}

//! The log of one job: every chunk once, in order, to its end.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, FutureExt, LocalBoxFuture, Shared, select};
use hm_backend_sdk::clock::{self, Backoff, Instant};
use hm_backend_sdk::http::Response;
use hm_backend_sdk::{
    BuildEvent, EventSink, Level, LogChannel, MAX_OUTPUT_CHUNK, Notice, StepId, log,
};
use hm_cloud_api::{Chunk, LogItem, LogParser, StreamKind, log_stream};

use crate::service::{Gone, Service, pauses};
use crate::slots::Slots;
use crate::tokens::Tokens;

/// How long a stream is kept while others wait for its place.
const TURN: Duration = Duration::from_secs(2);

/// Refusals in a row, and streams that say nothing readable, before a log is given up: some
/// output breaks the service's stream at every try.
const FRUITLESS: u32 = 6;

/// How long the log of a job that has ended is tried to be had from a service that does not
/// answer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Is ready once the job has ended.
pub(crate) type HasEnded = Shared<LocalBoxFuture<'static, ()>>;

/// What all logs of a build share.
pub(crate) struct Logs<'a> {
    pub(crate) service: &'a Service,
    pub(crate) tokens: Tokens<'a>,
    pub(crate) slots: Slots,
    pub(crate) events: &'a EventSink,
}

/// How a connection was left.
enum Left {
    /// All that the job printed has been told.
    Complete,
    /// The job has ended meanwhile, or another log is to have the place: to be opened again
    /// where it was left.
    Reopen,
    /// It broke off.
    Broken,
    /// What came is no log.
    Unreadable(String),
}

struct Log<'a> {
    logs: &'a Logs<'a>,
    step: StepId,
    job: &'a str,
    has_ended: HasEnded,
    /// The last chunk that was told.
    last: u64,
    told: Batch<'a>,
    pauses: Backoff,
    fruitless: u32,
    /// Since when the service has not answered, after the job's end.
    silent: Cell<Option<Instant>>,
}

/// Tells what a job prints until it has ended and all of it is told.
///
/// # Errors
/// The rest cannot be had; says why.
pub(crate) async fn follow(
    logs: &Logs<'_>,
    step: StepId,
    job: &str,
    has_ended: HasEnded,
) -> Result<(), String> {
    let mut log = Log {
        logs,
        step,
        job,
        has_ended,
        last: 0,
        told: Batch::new(logs.events, step),
        pauses: pauses(),
        fruitless: 0,
        silent: Cell::new(None),
    };
    loop {
        let slot = logs.slots.take().await;
        // Asked before the connection: what it begins with is all that there is then.
        let is_final = log.has_ended.clone().now_or_never().is_some();
        let before = log.last;
        let left = log.connect(is_final).await;
        drop(slot);
        log.told.flush().await;
        if log.last > before {
            log.fruitless = 0;
            log.silent.set(None);
            log.pauses.reset();
        }
        match left {
            Ok(Left::Complete) => return Ok(()),
            Ok(Left::Reopen) => {}
            // Output that is no text breaks the service's stream in the same place each time.
            Ok(Left::Broken) if is_final && log.last == before => {
                log.in_vain("the service's stream breaks off".into())
                    .await?;
            }
            Ok(Left::Broken) => log.pause().await,
            Ok(Left::Unreadable(why)) => log.in_vain(why).await?,
            Err(gone) => log.lost(gone, is_final).await?,
        }
    }
}

impl Log<'_> {
    async fn connect(&mut self, is_final: bool) -> Result<Left, Gone> {
        let token = self.logs.tokens.get().await?;
        let path = log_stream(self.logs.service.version, self.job);
        let request = self.logs.service.request(|client| {
            let request = client.get(path).query("token", &*token);
            request
                .header("last-event-id", self.last.to_string())
                .header("accept", "text/event-stream")
        });
        match self.logs.service.open(request).await {
            Ok(answer) => Ok(self.read(answer, is_final).await),
            Err(gone) => {
                if matches!(&gone, Gone::Refused(error) if error.status == 401) {
                    self.logs.tokens.refused(&token);
                }
                Err(gone)
            }
        }
    }

    /// Reads a connection until it has no more to say, or something else is to be done.
    async fn read(&mut self, mut answer: Response, is_final: bool) -> Left {
        let (mut parser, mut items) = (LogParser::default(), Vec::new());
        let before = self.last;
        let has_ended = self.has_ended.clone();
        let mut turn = clock::sleep(TURN).boxed_local();
        loop {
            let other = async {
                if is_final {
                    return std::future::pending().await;
                }
                has_ended.clone().await;
            };
            let bytes =
                match select(pin!(answer.chunk()), pin!(select(pin!(other), &mut turn))).await {
                    Either::Left((Ok(Some(bytes)), _)) => bytes,
                    Either::Left((Ok(None), _)) => return Left::Broken,
                    Either::Left((Err(error), _)) => {
                        log::debug(format!("the log of {} broke off: {error}", self.job));
                        return Left::Broken;
                    }
                    // The stream's own end comes up to 15 s late.
                    Either::Right((Either::Left(((), _)), _)) => return Left::Reopen,
                    Either::Right((Either::Right(((), _)), _)) => {
                        if self.logs.slots.are_wanted() {
                            return Left::Reopen;
                        }
                        turn = clock::sleep(TURN).boxed_local();
                        continue;
                    }
                };
            if parser.take(&bytes, &mut items).is_err() {
                return Left::Unreadable("a line of 16 MiB is no log".into());
            }
            for item in items.drain(..) {
                match item {
                    LogItem::Chunk(chunk) => self.take(chunk).await,
                    LogItem::HistoryEnd if !is_final => {}
                    // Nothing follows what brings nothing: a history can be cut too.
                    LogItem::HistoryEnd if self.last > before => return Left::Reopen,
                    LogItem::HistoryEnd => return Left::Complete,
                    LogItem::Done => return Left::Complete,
                    LogItem::Unreadable(why) => return Left::Unreadable(why),
                }
            }
            self.told.flush().await;
        }
    }

    /// Tells a chunk, unless it was told before.
    async fn take(&mut self, chunk: Chunk) {
        if chunk.seq <= self.last {
            return;
        }
        self.last = chunk.seq;
        match chunk.kind {
            StreamKind::Stdout => self.told.push(LogChannel::Stdout, &chunk.content).await,
            StreamKind::Stderr => self.told.push(LogChannel::Stderr, &chunk.content).await,
            StreamKind::Meta => {
                let text = chunk.content.trim_end().to_owned();
                let notice = Notice::new(Level::Warning, text).about(self.step);
                self.told.flush().await;
                self.logs.events.emit(BuildEvent::Notice(notice)).await;
            }
        }
    }

    async fn pause(&mut self) {
        clock::sleep(self.pauses.next_pause()).await;
    }

    /// Waits after a try that another like it will not better, unless there were too many.
    async fn in_vain(&mut self, why: String) -> Result<(), String> {
        self.fruitless += 1;
        if self.fruitless >= FRUITLESS {
            return Err(why);
        }
        self.pause().await;
        Ok(())
    }

    /// Waits after a stream that could not be opened.
    async fn lost(&mut self, gone: Gone, is_final: bool) -> Result<(), String> {
        if !gone.is_passing() {
            return self.in_vain(gone.to_string()).await;
        }
        let since = self.silent.get().unwrap_or_else(Instant::now);
        self.silent.set(is_final.then_some(since));
        // Of a job that runs, the list of jobs finds out whether the service is gone.
        if is_final && since.elapsed() > PATIENCE {
            return Err(gone.to_string());
        }
        self.pause().await;
        Ok(())
    }
}

/// Output that is told together: an event a chunk would cost more than the chunk.
struct Batch<'a> {
    events: &'a EventSink,
    step: StepId,
    channel: LogChannel,
    bytes: Vec<u8>,
}

impl<'a> Batch<'a> {
    fn new(events: &'a EventSink, step: StepId) -> Self {
        Self {
            events,
            step,
            channel: LogChannel::Stdout,
            bytes: Vec::new(),
        }
    }

    async fn push(&mut self, channel: LogChannel, text: &str) {
        if channel != self.channel || self.bytes.len() + text.len() > MAX_OUTPUT_CHUNK {
            self.flush().await;
            self.channel = channel;
        }
        self.bytes.extend_from_slice(text.as_bytes());
    }

    async fn flush(&mut self) {
        if !self.bytes.is_empty() {
            let bytes = std::mem::take(&mut self.bytes);
            self.events
                .step_output(self.step, self.channel, &bytes)
                .await;
        }
    }
}

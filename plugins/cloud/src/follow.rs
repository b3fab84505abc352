//! The log of one job: every chunk once, in order, to its end.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, FutureExt, LocalBoxFuture, Shared, select};
use hm_backend_sdk::clock::{self, Backoff, Instant};
use hm_backend_sdk::http::Response;
use hm_backend_sdk::{
    BuildEvent, EventSink, Level, LogChannel, MAX_OUTPUT_CHUNK, Notice, StepId, StepOutput, log,
};
use hm_cloud_api::{Chunk, LogItem, LogParser, StreamKind, TooLong, log_stream};

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
        let mut parser = LogParser::default();
        let mut better = self.better_to_reopen(is_final);
        loop {
            let bytes = match select(pin!(answer.chunk()), &mut better).await {
                Either::Left((Ok(Some(bytes)), _)) => bytes,
                Either::Left((Ok(None), _)) => return Left::Broken,
                Either::Left((Err(error), _)) => {
                    log::debug(format!("the log of {} broke off: {error}", self.job));
                    return Left::Broken;
                }
                Either::Right(((), _)) => return Left::Reopen,
            };
            let left = parser.take(&bytes, |item| self.take(item, is_final));
            self.told.flush().await;
            match left {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(left)) => return left,
                Err(TooLong) => return Left::Unreadable("a line of 16 MiB is no log".into()),
            }
        }
    }

    /// Is ready when a stream is to be left: its own end comes up to 15 s late, and others may
    /// wait for its place. What a job that has ended printed comes at once and is read through.
    fn better_to_reopen(&self, is_final: bool) -> LocalBoxFuture<'static, ()> {
        if is_final {
            return std::future::pending().boxed_local();
        }
        let slots = self.logs.slots.clone();
        let turn = async move {
            loop {
                clock::sleep(TURN).await;
                if slots.are_wanted() {
                    return;
                }
            }
        };
        let has_ended = self.has_ended.clone();
        select(has_ended, turn.boxed_local())
            .map(drop)
            .boxed_local()
    }

    /// Queues what a stream says, unless it was told before.
    fn take(&mut self, item: LogItem<'_>, is_final: bool) -> ControlFlow<Left> {
        match item {
            LogItem::Chunk(chunk) => {
                if chunk.seq > self.last {
                    self.last = chunk.seq;
                    self.told.chunk(chunk);
                }
                ControlFlow::Continue(())
            }
            LogItem::HistoryEnd if !is_final => ControlFlow::Continue(()),
            // The history of a job that has ended is all that it printed.
            LogItem::HistoryEnd | LogItem::Done => ControlFlow::Break(Left::Complete),
            LogItem::Unreadable(why) => ControlFlow::Break(Left::Unreadable(why)),
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

    fn chunk(&mut self, chunk: Chunk<'_>) {
        match chunk.kind {
            StreamKind::Stdout => self.output(LogChannel::Stdout, chunk.content),
            StreamKind::Stderr => self.output(LogChannel::Stderr, chunk.content),
            StreamKind::Meta => {
                let text = String::from_utf8_lossy(chunk.content);
                let notice = Notice::new(Level::Warning, text.trim_end()).about(self.step);
                self.queue();
                self.events.queue(BuildEvent::Notice(notice));
            }
        }
    }

    fn output(&mut self, channel: LogChannel, mut text: &[u8]) {
        if channel != self.channel {
            self.queue();
            self.channel = channel;
        }
        while self.bytes.len() + text.len() > MAX_OUTPUT_CHUNK {
            // A line is cut only if it is longer than an event by itself.
            if self.bytes.is_empty() {
                let (piece, rest) = text.split_at(MAX_OUTPUT_CHUNK);
                self.bytes.extend_from_slice(piece);
                text = rest;
            }
            self.queue();
        }
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(MAX_OUTPUT_CHUNK);
        }
        self.bytes.extend_from_slice(text);
    }

    /// Puts what is there into an event, which goes with the next flush.
    fn queue(&mut self) {
        if !self.bytes.is_empty() {
            let output = StepOutput {
                step: self.step,
                channel: self.channel,
                data: std::mem::take(&mut self.bytes),
            };
            self.events.queue(BuildEvent::StepOutput(output));
        }
    }

    async fn flush(&mut self) {
        self.queue();
        self.events.flush().await;
    }
}

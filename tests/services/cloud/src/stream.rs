//! Log streams, as server-sent events.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::incoming::Incoming;
use crate::log::{Chunk, Log};
use crate::service::Service;

/// Chunks that are written at once.
const BATCH: usize = 512;

/// Opens the stream of a job. The bearer is not looked at, the token in the query is: here,
/// and never again.
pub(crate) fn open(service: &Arc<Service>, incoming: &Incoming) -> Answer {
    let token = incoming.query("token").unwrap_or_default();
    let Some(build) = service.log_tokens().build(token, Timestamp::now()) else {
        return answer::flat(
            StatusCode::UNAUTHORIZED,
            "log_stream_unauthorized",
            "Missing, invalid or expired log token.",
        );
    };
    let found = incoming.route.parameter("job_id").parse::<Uuid>().ok();
    let found = found.and_then(|id| {
        let world = service.world();
        let (of, job) = world.job(id)?;
        (of.id == build).then(|| (id, job.log.clone()))
    });
    let Some((job, log)) = found.filter(|_| !service.oddities.forbid_streams) else {
        return answer::flat(
            StatusCode::FORBIDDEN,
            "log_stream_forbidden",
            "The token is not for this job.",
        );
    };
    let number = |text: &str| text.trim().parse::<i64>().ok();
    let resume = incoming
        .header("last-event-id")
        .and_then(number)
        .or_else(|| incoming.query("last_event_id").and_then(number));
    let tail = Tail {
        service: service.clone(),
        job,
        stored: log.watch(),
        log,
        seq: resume.unwrap_or(0).max(0).unsigned_abs(),
        phase: Phase::History,
        left: service.oddities.cut_streams_after,
    };
    let pieces = stream::unfold(tail, async |mut tail| Some((tail.next().await?, tail)));
    let body = match service.link.clone() {
        None => StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync(),
        Some(link) => {
            let carried = pieces
                .map_ok(move |bytes| link.clone().carry(bytes).map(Ok))
                .try_flatten();
            StreamBody::new(carried.map_ok(Frame::data)).boxed_unsync()
        }
    };
    let mut answer = Response::new(body);
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

enum Phase {
    History,
    Live,
    Over,
}

struct Tail {
    service: Arc<Service>,
    job: Uuid,
    log: Log,
    stored: watch::Receiver<usize>,
    /// The last chunk that was sent.
    seq: u64,
    phase: Phase,
    /// Chunks until the stream is cut.
    left: Option<usize>,
}

impl Tail {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self.phase {
            Phase::History => {
                self.phase = Phase::Live;
                let history = self.history();
                if history.is_err() {
                    // The server has sent its headers by then: they go out while this waits.
                    tokio::task::yield_now().await;
                }
                Some(history)
            }
            Phase::Live => self.live().await,
            Phase::Over => None,
        }
    }

    fn history(&mut self) -> io::Result<Bytes> {
        let mut chunks = self.log.after(self.seq, usize::MAX);
        let all = chunks.len();
        self.take(&mut chunks);
        let mut text = b"event: history\ndata: {\"chunks\":[".to_vec();
        for (index, chunk) in chunks.iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            object(&mut text, chunk)?;
        }
        if chunks.len() < all {
            // Cut in its midst: what follows would pass for the rest.
            self.phase = Phase::Over;
            return Ok(text.into());
        }
        text.extend_from_slice(b"]}\n\n");
        if let (true, Some(last)) = (self.service.oddities.overlapping_history, chunks.last()) {
            event(&mut text, last)?;
        }
        Ok(text.into())
    }

    async fn live(&mut self) -> Option<io::Result<Bytes>> {
        if self.left == Some(0) {
            return None;
        }
        loop {
            self.stored.mark_unchanged();
            let mut chunks = self.log.after(self.seq, BATCH);
            if !chunks.is_empty() {
                self.take(&mut chunks);
                let mut text = Vec::new();
                for chunk in &chunks {
                    if let Err(error) = event(&mut text, chunk) {
                        return Some(Err(error));
                    }
                }
                return Some(Ok(text.into()));
            }
            let idle = self.service.oddities.idle();
            if let Ok(Ok(())) = tokio::time::timeout(idle, self.stored.changed()).await {
                continue;
            }
            let is_over = {
                let world = self.service.world();
                world
                    .job(self.job)
                    .is_none_or(|(_, job)| job.state.is_terminal())
            };
            if !is_over {
                return Some(Ok(Bytes::from_static(b":\n\n")));
            }
            self.phase = Phase::Over;
            return Some(Ok(Bytes::from_static(b"event: done\ndata: {}\n\n")));
        }
    }

    /// Counts chunks as sent, those that still go.
    fn take(&mut self, chunks: &mut Vec<Chunk>) {
        if let Some(left) = &mut self.left {
            chunks.truncate(*left);
            *left -= chunks.len();
        }
        if let Some(last) = chunks.last() {
            self.seq = last.seq;
        }
    }
}

fn event(text: &mut Vec<u8>, chunk: &Chunk) -> io::Result<()> {
    write!(text, "id: {}\nevent: chunk\ndata: ", chunk.seq)?;
    object(text, chunk)?;
    text.extend_from_slice(b"\n\n");
    Ok(())
}

/// Writes a chunk as JSON. Like the server, breaks off on output that is no UTF-8.
fn object(text: &mut Vec<u8>, chunk: &Chunk) -> io::Result<()> {
    let content = std::str::from_utf8(&chunk.content).map_err(io::Error::other)?;
    write!(
        text,
        "{{\"seq\":{},\"stream_kind\":{},\"content\":",
        chunk.seq, chunk.kind
    )?;
    serde_json::to_writer(&mut *text, content)?;
    write!(text, ",\"ts\":{}}}", chunk.at)
}

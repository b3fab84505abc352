//! A response: its head, and a body that is still coming.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::{FutureExt, LocalBoxFuture};
use serde::de::DeserializeOwned;

use super::client::Settings;
use super::error::{Error, Failure};
use super::sse::ServerEvents;
use super::wire::Incoming;
use crate::clock::{self, Instant};
use crate::platform::HttpBytes;

/// Bytes of a body that an error quotes.
const QUOTED: usize = 512;

/// A response. Dropping it gives up what has not arrived.
pub struct Response {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: HttpBytes,
    request: Rc<str>,
    idle: Idle,
    limit: usize,
}

/// Holds the time between two chunks, with one timer for all of them: a timer a chunk costs
/// more than most chunks.
struct Idle {
    longest: Duration,
    /// Since when the reader waits for the next chunk, over calls that were dropped.
    since: Option<Instant>,
    /// May be that of an earlier wait, and then comes too early.
    timer: Option<LocalBoxFuture<'static, ()>>,
}

impl Idle {
    /// Is ready when the reader has waited for too long.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        loop {
            let timer = match &mut self.timer {
                Some(timer) => timer,
                None => {
                    let rest = self.longest.saturating_sub(since.elapsed());
                    self.timer.insert(clock::sleep(rest).boxed_local())
                }
            };
            ready!(timer.poll_unpin(cx));
            self.timer = None;
            if since.elapsed() >= self.longest {
                return Poll::Ready(());
            }
        }
    }
}

impl Response {
    pub(crate) fn new(incoming: Incoming, request: String, client: &Settings) -> Self {
        Self {
            status: incoming.status,
            headers: incoming.headers,
            body: incoming.body,
            request: request.into(),
            idle: Idle {
                longest: client.idle,
                since: None,
                timer: None,
            },
            limit: client.limit,
        }
    }

    /// Returns the status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns true for the statuses from 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the first header of that name, whatever its case, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// Returns the response if it is a success.
    ///
    /// # Errors
    /// [`Failure::Status`], with the beginning of the body.
    pub async fn ok(mut self) -> Result<Self, Error> {
        if self.is_success() {
            return Ok(self);
        }
        let mut bytes = Vec::new();
        while bytes.len() < QUOTED {
            // The status matters, not whether its explanation arrives.
            match self.chunk().await {
                Ok(Some(chunk)) => bytes.extend(chunk),
                Ok(None) | Err(_) => break,
            }
        }
        bytes.truncate(QUOTED);
        let body = String::from_utf8_lossy(&bytes).trim().to_owned();
        Err(self.failed(Failure::Status {
            code: self.status,
            body,
        }))
    }

    /// Returns the next piece of the body, cut anywhere; none at its end. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// The connection broke off, or nothing came for the client's idle time.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let next = {
            let (mut next, idle) = (pin!(self.body.next()), &mut self.idle);
            poll_fn(|cx| match next.as_mut().poll(cx) {
                Poll::Ready(chunk) => Poll::Ready(chunk.transpose()),
                Poll::Pending => idle
                    .poll(cx)
                    .map(|()| Err(Failure::TookLongerThan(idle.longest))),
            })
            .await
        };
        self.idle.since = None;
        next.map_err(|failure| self.failed(failure))
    }

    /// Returns the whole body.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk), and over the client's limit.
    pub async fn bytes(mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > self.limit {
                return Err(self.failed(Failure::TooLong(self.limit)));
            }
            bytes.extend(chunk);
        }
        Ok(bytes)
    }

    /// Returns the whole body as text.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes), and if it is not UTF-8.
    pub async fn text(self) -> Result<String, Error> {
        let request = Rc::clone(&self.request);
        String::from_utf8(self.bytes().await?)
            .map_err(|error| Error::new(&*request, Failure::Decode(error.to_string())))
    }

    /// Returns the whole body's JSON.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes), and if it is not `T`'s.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let request = Rc::clone(&self.request);
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::new(&*request, Failure::Decode(error.to_string())))
    }

    /// Reads the body as server-sent events.
    pub fn events(self) -> ServerEvents {
        let limit = self.limit;
        ServerEvents::new(self, limit)
    }

    pub(crate) fn failed(&self, failure: Failure) -> Error {
        Error::new(&*self.request, failure)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("request", &self.request)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

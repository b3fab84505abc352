//! Server-sent events over broken connections.

use std::fmt;
use std::time::Duration;

use futures::future::LocalBoxFuture;

use crate::clock::{self, Backoff};

use super::error::{Error, Failure};
use super::request::Request;
use super::sse::{ServerEvent, ServerEvents};

/// Follows a stream of events: connects, and connects again with the last id when the
/// connection ends, until the server answers with the status 204 or the reader has enough.
///
/// Many services tell the end by an event of their own: drop this when it comes. Give up
/// is decided by the request's [`Retry`](super::Retry), counted from the last event.
pub struct Follow {
    request: Request,
    link: Link,
    last_id: Option<String>,
    backoff: Backoff,
    /// Connections without an event.
    fruitless: u32,
}

/// A connection is made here and not in the task that asked for it: a reader that looks
/// after other things meanwhile does not have it begun again each time.
enum Link {
    None,
    Connecting(LocalBoxFuture<'static, Result<Option<ServerEvents>, Error>>),
    Open(Box<ServerEvents>),
}

impl Follow {
    pub(crate) fn new(request: Request) -> Self {
        Self {
            backoff: request.retries().backoff(),
            request,
            link: Link::None,
            last_id: None,
            fruitless: 0,
        }
    }

    /// Begins after the event with this id.
    #[must_use]
    pub fn after(mut self, last_id: impl Into<String>) -> Self {
        self.last_id = Some(last_id.into());
        self
    }

    /// Goes on after this id at the next connection. For services whose events carry their
    /// place in another way than by an `id` line.
    pub fn set_last_id(&mut self, last_id: impl Into<String>) {
        self.last_id = Some(last_id.into());
    }

    /// Returns the id after which the next connection goes on.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Returns the next event; none when the server says that there are no more. Dropping
    /// the future loses nothing.
    ///
    /// # Errors
    /// What ended the last of too many connections without an event; at once, a status
    /// that another try does not change.
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, Error> {
        loop {
            let failed = match &mut self.link {
                Link::None => {
                    self.connect(Duration::ZERO)?;
                    continue;
                }
                Link::Connecting(connection) => match connection.await {
                    Ok(Some(stream)) => {
                        self.link = Link::Open(Box::new(stream));
                        continue;
                    }
                    Ok(None) => {
                        self.link = Link::None;
                        return Ok(None);
                    }
                    Err(error) => Some(error),
                },
                Link::Open(stream) => match stream.next().await {
                    Ok(Some(event)) => {
                        if event.id.is_some() {
                            self.last_id.clone_from(&event.id);
                        }
                        self.fruitless = 0;
                        self.backoff.reset();
                        return Ok(Some(event));
                    }
                    Ok(None) => None,
                    Err(error) => Some(error),
                },
            };
            self.lost(failed)?;
        }
    }

    /// Decides on another connection after one that is lost.
    fn lost(&mut self, failed: Option<Error>) -> Result<(), Error> {
        let asked = match std::mem::replace(&mut self.link, Link::None) {
            Link::Open(stream) => stream.reconnection(),
            Link::None | Link::Connecting(_) => None,
        };
        self.fruitless += 1;
        let error = failed.unwrap_or_else(|| self.request.failed(Failure::BrokenOff));
        if self.fruitless >= self.request.retries().tries || !error.failure().is_passing() {
            return Err(error);
        }
        let pause = self.backoff.next_pause().max(asked.unwrap_or_default());
        self.connect(pause)
    }

    fn connect(&mut self, pause: Duration) -> Result<(), Error> {
        let Some(request) = self.request.again() else {
            let why = "a stream of events cannot be asked for with a streamed body".to_owned();
            return Err(Error::new("following events", Failure::BadRequest(why)));
        };
        let mut request = request
            .retry(super::Retry::never())
            .header("accept", "text/event-stream");
        if let Some(id) = self.last_id.as_deref().filter(|id| !id.is_empty()) {
            request = request.header("last-event-id", id);
        }
        self.link = Link::Connecting(Box::pin(async move {
            if !pause.is_zero() {
                clock::sleep(pause).await;
            }
            let response = request.send().await?;
            if response.status() == 204 {
                return Ok(None);
            }
            Ok(Some(response.ok().await?.events()))
        }));
        Ok(())
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("request", &self.request)
            .field("last_id", &self.last_id)
            .finish_non_exhaustive()
    }
}

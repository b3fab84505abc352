//! Bodies on their way: counted, held to their times, never unfolded.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error, WasiBody};

use super::error;
use super::session::HttpSession;
use crate::component::LimitHit;
use crate::session::{Awaited, Session};

/// When a request's body last moved.
#[derive(Debug, Clone)]
pub(super) struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns once nothing has moved for `patience`.
    pub(super) async fn stops(&self, patience: Duration) {
        loop {
            let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let until = last + patience;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// Counts bytes of one body, and ends the build where they are too many.
struct Meter {
    session: Arc<Session>,
    http: Arc<HttpSession>,
    /// Key of the limit, and its value.
    limit: (&'static str, u64),
    seen: u64,
    /// As long as there is a body to pass on, the guest has something to wait for.
    _awaited: Awaited,
}

impl Meter {
    fn new(session: Arc<Session>, http: Arc<HttpSession>, limit: (&'static str, u64)) -> Self {
        Self {
            _awaited: session.awaits(),
            session,
            http,
            limit,
            seen: 0,
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), ()> {
        self.seen = self.seen.saturating_add(bytes as u64);
        let (name, most) = self.limit;
        let counted = if self.seen > most {
            Err(LimitHit::of(name, self.http.limits()))
        } else {
            self.http.count_bytes(bytes as u64)
        };
        counted.map_err(|limit| self.session.exceed(limit))
    }
}

/// A request's body, out of the guest.
pub(super) struct Outgoing {
    /// Read before anything was sent, to see whether there is a body at all.
    first: Option<Frame<Bytes>>,
    /// For `Sync`; never locked by two.
    rest: Mutex<WasiBody>,
    /// What the head says, if it does.
    length: Option<u64>,
    meter: Meter,
    pulse: Pulse,
}

impl Outgoing {
    pub(super) fn new(
        first: Option<Frame<Bytes>>,
        rest: WasiBody,
        length: Option<u64>,
        (session, http): (Arc<Session>, Arc<HttpSession>),
        pulse: Pulse,
    ) -> Self {
        let limit = ("http-request-body", http.limits().http_request_bytes);
        Self {
            first,
            rest: Mutex::new(rest),
            length,
            meter: Meter::new(session, http, limit),
            pulse,
        }
    }

    fn rest(&mut self) -> &mut WasiBody {
        self.rest.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match self.first.take() {
            Some(frame) => Some(Ok(frame)),
            None => ready!(Pin::new(self.rest()).poll_frame(cx)),
        };
        self.pulse.beat();
        let frame = match frame {
            Some(Ok(frame)) => frame,
            // Shorter than it says: the connection is of no more use.
            None if self.length.is_some_and(|length| length > self.meter.seen) => {
                let seen = Some(self.meter.seen);
                return Poll::Ready(Some(Err(Error::HttpRequestBodySize(seen))));
            }
            other => return Poll::Ready(other),
        };
        match frame.data_ref() {
            Some(data) => {
                let bytes = data.len();
                if self.meter.count(bytes).is_err() {
                    return Poll::Ready(Some(Err(Error::HttpRequestBodySize(None))));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            // No server that people use reads them, and they would be a second way to set
            // headers.
            None if frame.trailers_ref().is_some_and(|t| t.is_empty()) => Poll::Ready(None),
            None => Poll::Ready(Some(Err(Error::HttpRequestTrailerSectionSize(Some(0))))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let hint = rest.size_hint();
        match (&self.first, hint.exact()) {
            // The first piece was taken out of the same count.
            (Some(first), Some(exact)) => {
                let first = first.data_ref().map_or(0, |data| data.len() as u64);
                SizeHint::with_exact(exact + first)
            }
            _ => hint,
        }
    }
}

/// A response's body, on its way to the guest.
pub(super) struct Incoming {
    inner: reqwest::Body,
    meter: Meter,
    gap: Duration,
    silence: Pin<Box<Sleep>>,
    whole: Pin<Box<Sleep>>,
    /// Given back at the end, or when the guest lets go.
    _held: OwnedSemaphorePermit,
}

impl Incoming {
    pub(super) fn new(
        inner: reqwest::Body,
        session: Arc<Session>,
        http: Arc<HttpSession>,
        gap: Duration,
        whole: Instant,
        held: OwnedSemaphorePermit,
    ) -> Self {
        let limit = ("http-response-body", http.limits().http_response_bytes);
        Self {
            inner,
            meter: Meter::new(session, http, limit),
            gap,
            silence: Box::pin(tokio::time::sleep(gap)),
            whole: Box::pin(tokio::time::sleep_until(whole)),
            _held: held,
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.whole.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Error::HttpResponseTimeout)));
        }
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                return match self.silence.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(Error::ConnectionReadTimeout))),
                    Poll::Pending => Poll::Pending,
                };
            }
        };
        // The guest's own slowness is not the server's silence: the time begins when the
        // guest asks again.
        let until = Instant::now() + self.gap;
        self.silence.as_mut().reset(until);
        let Some(frame) = frame else {
            return Poll::Ready(None);
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(broken) => {
                tracing::debug!("a response broke off: {}", error::chain(&broken));
                return Poll::Ready(Some(Err(error::of_body(&broken))));
            }
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        if self.meter.count(bytes).is_err() {
            return Poll::Ready(Some(Err(Error::HttpResponseBodySize(None))));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

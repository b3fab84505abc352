//! A server that answers as it is scripted.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::LocalBoxStream;
use hm_backend_sdk::http::Failure;
use hm_backend_sdk::world::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Clock;

/// A request as the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRequest {
    /// `GET` and so on.
    pub method: String,
    /// With scheme and host, without the query.
    pub url: String,
    /// Begins with `/`; without the query.
    pub path: String,
    /// Without the `?`; empty if there is none.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Whole.
    pub body: Vec<u8>,
}

impl ServerRequest {
    /// Returns the first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body's JSON.
    ///
    /// # Panics
    /// If it is not `T`'s.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.path))
    }
}

/// What the server does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    after: Duration,
    head: Result<(u16, Vec<(String, String)>), Failure>,
    /// Pauses, and what comes after them.
    body: Vec<(Duration, Vec<u8>)>,
    /// How the body ends, if not well.
    breaks: bool,
    hangs: bool,
}

impl Answer {
    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Self {
            after: Duration::ZERO,
            head: Ok((status, Vec::new())),
            body: Vec::new(),
            breaks: false,
            hangs: false,
        }
    }

    /// 200, with this as JSON.
    ///
    /// # Panics
    /// If it cannot be.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        let body = serde_json::to_vec(value).expect("an answer that is JSON");
        Self::status(200)
            .header("content-type", "application/json")
            .chunk(Duration::ZERO, body)
    }

    /// 200, with this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::status(200).chunk(Duration::ZERO, text.into())
    }

    /// 200, with server-sent events; [`event`](Self::event) adds them.
    pub fn events() -> Self {
        Self::status(200).header("content-type", "text/event-stream")
    }

    /// No answer: the request fails like this.
    pub fn fails(failure: Failure) -> Self {
        Self {
            head: Err(failure),
            ..Self::status(0)
        }
    }

    /// No answer, ever.
    pub fn hangs() -> Self {
        Self::status(200).after(Duration::MAX)
    }

    /// With this status instead.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        if let Ok((code, _)) = &mut self.head {
            *code = status;
        }
        self
    }

    /// With this header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Ok((_, headers)) = &mut self.head {
            headers.push((name.into(), value.into()));
        }
        self
    }

    /// That long after the request.
    #[must_use]
    pub fn after(mut self, pause: Duration) -> Self {
        self.after = pause;
        self
    }

    /// More of the body, that long after what came before.
    #[must_use]
    pub fn chunk(mut self, pause: Duration, data: impl Into<Vec<u8>>) -> Self {
        self.body.push((pause, data.into()));
        self
    }

    /// An event, that long after what came before. `id` and `event` may be empty.
    #[must_use]
    pub fn event(self, pause: Duration, id: &str, event: &str, data: &str) -> Self {
        let mut text = String::new();
        for (field, value) in [("id", id), ("event", event)] {
            if !value.is_empty() {
                text.push_str(&format!("{field}: {value}\n"));
            }
        }
        for line in data.split('\n') {
            text.push_str(&format!("data: {line}\n"));
        }
        text.push('\n');
        self.chunk(pause, text)
    }

    /// The connection is lost after what was said so far.
    #[must_use]
    pub fn breaks_off(mut self) -> Self {
        self.breaks = true;
        self
    }

    /// The connection stays open after what was said so far, and silent.
    #[must_use]
    pub fn stays_open(mut self) -> Self {
        self.hangs = true;
        self
    }

    pub(crate) async fn play(self, clock: &Clock) -> Result<Incoming, Failure> {
        clock.wait(nanoseconds(self.after)).await;
        let (status, headers) = self.head?;
        let headers = headers
            .into_iter()
            .map(|(name, value)| (name, value.into_bytes()))
            .collect();
        let body = body(clock.clone(), self.body, self.breaks, self.hangs);
        Ok(Incoming::new(status, headers, body))
    }
}

fn body(
    clock: Clock,
    chunks: Vec<(Duration, Vec<u8>)>,
    breaks: bool,
    hangs: bool,
) -> LocalBoxStream<'static, Result<Vec<u8>, Failure>> {
    let timed = clock.clone();
    let chunks = futures::stream::iter(chunks).then(move |(pause, data)| {
        let timer = timed.wait(nanoseconds(pause));
        async move {
            timer.await;
            Ok(data)
        }
    });
    let end = async move {
        if hangs {
            clock.wait(u64::MAX).await;
        }
        breaks.then_some(Err(Failure::BrokenOff))
    };
    let end = futures::stream::once(end).filter_map(std::future::ready);
    chunks.chain(end).boxed_local()
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

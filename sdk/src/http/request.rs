//! A request, from its first word to its response.

use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::Settings;
use super::error::{Error, Failure};
use super::follow::Follow;
use super::response::Response;
use super::retry::Retry;
use super::url::Url;
use super::wire::Outgoing;
use super::{Body, ServerEvents};
use crate::{clock, platform};

/// What a request does, by its standard name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "RFC 9110, section 9, and RFC 5789 say it")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
        }
    }

    /// RFC 9110, section 9.2.2.
    fn is_idempotent(self) -> bool {
        !matches!(self, Self::Post | Self::Patch)
    }
}

/// A request that is being put together; [`send`](Self::send) sends it.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    method: Method,
    url: Result<Url, String>,
    headers: Vec<(String, String)>,
    body: Result<Body, String>,
    is_idempotent: bool,
    timeout: Duration,
    retry: Retry,
    client: Rc<Settings>,
}

impl Request {
    pub(crate) fn new(method: Method, url: Result<Url, String>, client: Rc<Settings>) -> Self {
        Self {
            method,
            url,
            headers: client.headers.clone(),
            body: Ok(Body::empty()),
            is_idempotent: method.is_idempotent(),
            timeout: client.timeout,
            retry: client.retry,
            client,
        }
    }

    /// Sends this header, instead of the client's own of that name.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into().to_ascii_lowercase();
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a pair to the query, encoded as it must be.
    pub fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        if let Ok(url) = &mut self.url {
            url.push_query(name, value.as_ref());
        }
        self
    }

    /// Carries this.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = Ok(body.into());
        self
    }

    /// Carries `value` as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        self.body = serde_json::to_vec(value)
            .map(Body::from)
            .map_err(|error| error.to_string());
        self.header("content-type", "application/json")
    }

    /// Says that carrying it out twice does no harm, so that it may be tried again; a
    /// `POST` or `PATCH` is not otherwise, unless the server never saw it.
    pub fn idempotent(mut self) -> Self {
        self.is_idempotent = true;
        self
    }

    /// Waits that long for the head of the response, at each try.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Tries again like this.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Returns method and URL, for messages.
    fn shown(&self) -> String {
        match &self.url {
            Ok(url) => format!("{} {}", self.method.name(), url.shown()),
            Err(_) => self.method.name().to_owned(),
        }
    }

    /// Sends it, again where that helps, and returns the response whatever its status.
    /// Dropping the future gives the request up.
    ///
    /// # Errors
    /// No response came.
    pub async fn send(self) -> Result<Response, Error> {
        let shown = self.shown();
        let failed = |failure| Error::new(shown.clone(), failure);
        let url = match &self.url {
            Ok(url) => url,
            Err(why) => return Err(failed(Failure::BadRequest(why.clone()))),
        };
        let mut body = match self.body {
            Ok(body) => Some(body),
            Err(why) => return Err(failed(Failure::BadRequest(why))),
        };
        let mut backoff = self.retry.backoff();
        let mut tries = 0;
        while let Some(now) = body.take() {
            tries += 1;
            if tries < self.retry.tries {
                body = now.again();
            }
            let outgoing = outgoing(
                self.method,
                url,
                &self.headers,
                now,
                &self.client,
                self.timeout,
            );
            let sent = clock::timeout(self.timeout, platform::send(outgoing)).await;
            let result = match sent {
                Ok(Ok(incoming)) => Ok(incoming),
                Ok(Err(failure)) => Err(failure),
                Err(_) => Err(Failure::TookLongerThan(self.timeout)),
            };
            let pause = match &result {
                Ok(incoming) if !is_passing(incoming.status) => None,
                Ok(incoming) => self.is_idempotent.then(|| {
                    let asked = retry_after(&incoming.headers).unwrap_or_default();
                    asked.max(backoff.next_pause())
                }),
                Err(failure) => (failure.is_passing()
                    && (self.is_idempotent || failure.is_before_sending()))
                .then(|| backoff.next_pause()),
            };
            match pause.filter(|_| body.is_some()) {
                Some(pause) => {
                    drop(result);
                    clock::sleep(pause).await;
                }
                None => {
                    return result
                        .map(|incoming| Response::new(incoming, shown.clone(), &self.client))
                        .map_err(failed);
                }
            }
        }
        // A first try always has a body.
        Err(failed(Failure::BadRequest("it has been sent".into())))
    }

    /// Sends it and returns the JSON of a successful response.
    ///
    /// # Errors
    /// No response, a status that is no success, or other JSON than `T`'s.
    pub async fn fetch<T: DeserializeOwned>(self) -> Result<T, Error> {
        let request = self.header("accept", "application/json");
        request.send().await?.ok().await?.json().await
    }

    /// Sends it and returns the server-sent events of a successful response.
    ///
    /// # Errors
    /// No response, or a status that is no success.
    pub async fn events(self) -> Result<ServerEvents, Error> {
        let request = self.header("accept", "text/event-stream");
        Ok(request.send().await?.ok().await?.events())
    }

    /// Follows the server-sent events of this URL over broken connections, by the last id.
    pub fn follow(self) -> Follow {
        Follow::new(self)
    }

    /// Returns the same request once more, if it can be.
    pub(crate) fn again(&self) -> Option<Self> {
        let body = match &self.body {
            Ok(body) => Ok(body.again()?),
            Err(why) => Err(why.clone()),
        };
        Some(Self {
            method: self.method,
            url: self.url.clone(),
            headers: self.headers.clone(),
            body,
            is_idempotent: self.is_idempotent,
            timeout: self.timeout,
            retry: self.retry,
            client: Rc::clone(&self.client),
        })
    }

    pub(crate) fn failed(&self, failure: Failure) -> Error {
        Error::new(self.shown(), failure)
    }

    pub(crate) fn retries(&self) -> Retry {
        self.retry
    }
}

fn outgoing(
    method: Method,
    url: &Url,
    headers: &[(String, String)],
    body: Body,
    client: &Settings,
    timeout: Duration,
) -> Outgoing {
    let mut headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
        .collect();
    // What is known beforehand need not be sent in chunks.
    if let Some(len) = body.len().filter(|&len| len > 0 || method == Method::Post) {
        headers.push(("content-length".into(), len.to_string().into_bytes()));
    }
    Outgoing {
        method: method.name().into(),
        is_encrypted: url.is_encrypted,
        authority: url.authority.clone(),
        path: url.path_and_query(),
        headers,
        body,
        head_timeout_ns: Some(clock::nanoseconds(timeout)),
        idle_timeout_ns: Some(clock::nanoseconds(client.idle)),
    }
}

fn is_passing(code: u16) -> bool {
    let body = String::new();
    Failure::Status { code, body }.is_passing()
}

/// Returns the wait that a server asks for in seconds; a date would need a wall clock.
fn retry_after(headers: &[(String, Vec<u8>)]) -> Option<Duration> {
    let (_, value) = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
    let seconds = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

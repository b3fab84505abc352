//! What requests have in common.

use std::rc::Rc;
use std::time::Duration;

use super::request::{Method, Request};
use super::retry::Retry;
use super::url::Url;

/// Sends requests to a service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client(Rc<Settings>);

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) base: Result<Url, String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) timeout: Duration,
    pub(crate) idle: Duration,
    pub(crate) retry: Retry,
    pub(crate) limit: usize,
}

impl Client {
    /// A client for the URLs below `base`. End it with `/`: references are taken after its
    /// last one, as in a browser. A base that is no URL is told by the first request.
    pub fn new(base: impl AsRef<str>) -> Self {
        let base = base.as_ref();
        Self(Rc::new(Settings {
            base: Url::parse(base).map_err(|why| format!("`{base}` is no URL: {why}")),
            headers: Vec::new(),
            timeout: Duration::from_secs(60),
            idle: Duration::from_secs(120),
            retry: Retry::default(),
            limit: 32 << 20,
        }))
    }

    /// Sends this header with every request.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let header = (name.into().to_ascii_lowercase(), value.into());
        Rc::make_mut(&mut self.0).headers.push(header);
        self
    }

    /// Waits that long for the head of a response, one minute if not said.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        Rc::make_mut(&mut self.0).timeout = timeout;
        self
    }

    /// Waits that long for the next bytes of a response, two minutes if not said. For a
    /// stream of events, longer than the server's sign of life.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        Rc::make_mut(&mut self.0).idle = timeout;
        self
    }

    /// Tries again like this.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        Rc::make_mut(&mut self.0).retry = retry;
        self
    }

    /// Takes that many bytes of a body that is read whole, and of one server-sent event;
    /// 32 MiB if not said.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        Rc::make_mut(&mut self.0).limit = bytes;
        self
    }

    /// Begins a request; `url` is absolute or below the base.
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> Request {
        let url = url.as_ref();
        let url = match &self.0.base {
            Ok(base) => base
                .join(url)
                .map_err(|why| format!("`{url}` is no URL: {why}")),
            Err(error) => Err(error.clone()),
        };
        Request::new(method, url, Rc::clone(&self.0))
    }

    /// Begins a `GET`.
    pub fn get(&self, url: impl AsRef<str>) -> Request {
        self.request(Method::Get, url)
    }

    /// Begins a `POST`.
    pub fn post(&self, url: impl AsRef<str>) -> Request {
        self.request(Method::Post, url)
    }

    /// Begins a `PUT`.
    pub fn put(&self, url: impl AsRef<str>) -> Request {
        self.request(Method::Put, url)
    }

    /// Begins a `DELETE`.
    pub fn delete(&self, url: impl AsRef<str>) -> Request {
        self.request(Method::Delete, url)
    }
}

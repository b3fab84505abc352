//! A request as handlers see it.

use hyper::Request;
use hyper::header::{self, HeaderMap};
use serde_json::Value;
use uuid::Uuid;

use crate::operation::{Route, decode};

/// The server refuses larger JSON bodies before it looks at anything else.
pub(crate) const MOST_BYTES: usize = 8_000_000;

/// A request with its body.
pub(crate) struct Incoming {
    pub(crate) route: Route,
    pub(crate) headers: HeaderMap,
    query: Vec<(String, String)>,
    /// Of type JSON; another body is passed over, and every field is absent.
    pub(crate) body: Option<Value>,
    pub(crate) request_id: String,
}

impl Incoming {
    pub(crate) fn new(
        route: Route,
        parts: &hyper::http::request::Parts,
        body: Option<Value>,
    ) -> Self {
        Self {
            route,
            query: query(parts.uri.query().unwrap_or_default()),
            headers: parts.headers.clone(),
            body,
            request_id: request_id(&parts.headers),
        }
    }

    /// Returns a parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }

    pub(crate) fn queries(&self) -> &[(String, String)] {
        &self.query
    }

    /// Returns a header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the bearer, spelled exactly as the server wants it.
    pub(crate) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// Returns a text of the body; null and absent are the same.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.body.as_ref()?.get(name)?.as_str()
    }
}

/// Splits a query and decodes it.
fn query(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(&value.replace('+', " ")))
        })
        .collect()
}

/// Returns the request's own id if it has a decent one.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let own = headers.get("x-request-id").and_then(|id| id.to_str().ok());
    match own {
        Some(id) if (20..=200).contains(&id.len()) => id.to_owned(),
        _ => Uuid::new_v4().simple().to_string(),
    }
}

/// Whether a body will be read as JSON.
pub(crate) fn is_json<B>(request: &Request<B>) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE);
    value
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.trim_start().starts_with("application/json"))
}

/// Whether an answer in JSON will do.
pub(crate) fn accepts_json(headers: &HeaderMap) -> bool {
    let Some(accept) = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
    else {
        return true;
    };
    accept.split(',').any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        matches!(kind, "*/*" | "application/*" | "application/json")
    })
}

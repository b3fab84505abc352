//! Answers, in each of the shapes that the service has.

use std::io;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::error::Refused;

/// A body, whole or as it comes.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer on its way.
pub(crate) type Answer = Response<Body>;

pub(crate) fn whole(
    status: StatusCode,
    content_type: &'static str,
    bytes: impl Into<Bytes>,
) -> Answer {
    let body = Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

pub(crate) fn value(status: StatusCode, value: &Value) -> Answer {
    whole(status, "application/json; charset=utf-8", value.to_string())
}

pub(crate) fn text(status: StatusCode, text: &str) -> Answer {
    whole(status, "text/plain; charset=utf-8", text.to_owned())
}

/// Shape A, of every handler and scope check.
pub(crate) fn envelope(refused: &Refused, request_id: &str) -> Answer {
    value(
        refused.status,
        &json!({"error": {
            "type": refused.kind,
            "code": refused.code,
            "message": refused.message,
            // The service spells codes with hyphens in some of its links.
            "doc_url": format!("https://docs.harmont.dev/errors/{}", refused.code.replace('_', "-")),
            "request_id": request_id,
        }}),
    )
}

/// Shape B, of log streams only.
pub(crate) fn flat(status: StatusCode, code: &str, message: &str) -> Answer {
    value(status, &json!({"code": code, "message": message}))
}

/// Shape C, of the framework: unknown routes, bad JSON, bodies that are too large, crashes.
pub(crate) fn fallback(status: StatusCode) -> Answer {
    let detail = status.canonical_reason().unwrap_or("Error");
    value(status, &json!({"errors": {"detail": detail}}))
}

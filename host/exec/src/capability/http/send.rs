//! One request, from the guest's call to the head of the response. Each step before the
//! next: policy, counters, headers, addresses, credential (reference `sandbox`, section 5).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::{Incoming, Outgoing, Pulse};
use super::credential;
use super::denial::Denial;
use super::error::{self, Failed};
use super::session::{ClientError, HttpSession};
use super::target::Target;
use crate::session::Session;

/// How long a request's body is waited for before it is taken for one that streams. A
/// request without a body is then sent without one, and not as an empty stream.
const PEEK: Duration = Duration::from_millis(50);

/// Sends a request for the guest.
///
/// # Errors
/// What the guest may know of why there is no response.
pub(super) async fn send(
    session: Arc<Session>,
    http: Arc<HttpSession>,
    request: http::Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<http::Response<WasiBody>, Error> {
    let (mut parts, body) = request.into_parts();
    // Made of the authority, which is judged; the client makes it again.
    parts.headers.remove(header::HOST);
    let (target, url) = match http.judge(&parts) {
        Ok(judged) => judged,
        Err(denial) => return Err(refuse(&session, denial).await),
    };
    let credentials = &http.grant.credentials;
    if let Err(name) = credential::attach(credentials, &target, &mut parts.headers) {
        let denial = Denial::header(&parts.method, &target, name.as_str());
        return Err(refuse(&session, denial).await);
    }
    if let Err(limit) = http.count_request() {
        session.exceed(limit);
        return Err(Error::ConnectionLimitReached);
    }
    // The semaphore is never closed.
    let held = http.held.clone().acquire_owned().await;
    let held = held.map_err(|_| Error::ConnectionLimitReached)?;
    let times = Times::new(&http, options);
    let client = match http.client(&target).await {
        Ok(client) => client,
        Err(ClientError::Closed(address, closed)) => {
            let denial = Denial::address(&parts.method, &target, (address, closed));
            refuse(&session, denial).await;
            return Err(Error::DestinationIpProhibited);
        }
        Err(error) => {
            if let ClientError::Setup(cause) = &error {
                session
                    .warn(format!("no request can be sent: {cause}"))
                    .await;
            }
            return Err(error.into());
        }
    };
    let pulse = Pulse::new();
    let mut request = reqwest::Request::new(parts.method.clone(), url);
    *request.headers_mut() = parts.headers;
    if let Some((first, rest)) = peek(body).await? {
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        let counted = (session.clone(), http.clone());
        let body = Outgoing::new(first, rest, length, counted, pulse.clone());
        *request.body_mut() = Some(reqwest::Body::wrap(body));
    }
    let answered = tokio::select! {
        biased;
        answered = client.execute(request) => answered,
        () = pulse.stops(times.head) => return Err(Error::HttpResponseTimeout),
        () = tokio::time::sleep_until(times.whole) => return Err(Error::HttpResponseTimeout),
    };
    let response = match answered {
        Ok(response) => response,
        Err(error) => return Err(fail(&session, &parts.method, &target, &error).await),
    };
    let (head, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    check_head(&head, &http)?;
    let body = Incoming::new(body, session, http, times.gap, times.whole, held);
    Ok(http::Response::from_parts(head, body.boxed_unsync()))
}

/// How long each part may take: what the guest asks for, and never more than ours.
struct Times {
    /// Connecting and waiting for the head; begins anew with each piece of the body sent.
    head: Duration,
    gap: Duration,
    whole: Instant,
}

impl Times {
    fn new(http: &HttpSession, options: Option<RequestOptions>) -> Self {
        let limits = http.limits();
        let options = options.unwrap_or_default();
        let least = |asked: Option<Duration>, most: Duration| asked.map_or(most, |a| a.min(most));
        Self {
            head: least(options.connect_timeout, limits.http_connect)
                + least(options.first_byte_timeout, limits.http_first_byte),
            gap: least(options.between_bytes_timeout, limits.http_gap),
            whole: Instant::now() + limits.http_whole,
        }
    }
}

type Begun = Option<(Option<Frame<Bytes>>, WasiBody)>;

/// Finds out whether there is a body. None if there is none.
async fn peek(mut body: WasiBody) -> Result<Begun, Error> {
    if body.is_end_stream() {
        return Ok(None);
    }
    match tokio::time::timeout(PEEK, body.frame()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(first))) => Ok(Some((Some(first), body))),
        Ok(Some(Err(error))) => Err(error),
        // It streams: sent as it comes.
        Err(_) => Ok(Some((None, body))),
    }
}

async fn refuse(session: &Session, denial: Denial) -> Error {
    session.refused(denial).await;
    Error::HttpRequestDenied
}

async fn fail(
    session: &Session,
    method: &http::Method,
    target: &Target,
    error: &reqwest::Error,
) -> Error {
    match error::of_request(error) {
        Failed::Network(known) => {
            tracing::debug!("{method} {target}: {}", error::chain(error));
            known
        }
        Failed::Closed(address, closed) => {
            let denial = Denial::address(method, target, (address, closed));
            session.refused(denial).await;
            Error::DestinationIpProhibited
        }
    }
}

/// Holds the head of a response to its limits.
fn check_head(head: &http::response::Parts, http: &HttpSession) -> Result<(), Error> {
    if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::HttpUpgradeFailed);
    }
    let limits = http.limits();
    let bytes: usize = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if bytes > limits.http_header_bytes || head.headers.len() > limits.http_header_lines {
        return Err(Error::HttpResponseHeaderSectionSize(
            u32::try_from(limits.http_header_bytes).ok(),
        ));
    }
    Ok(())
}

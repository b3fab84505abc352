//! What goes wrong with a request.

use std::fmt;
use std::time::Duration;

use crate::BackendError;

/// A request that did not bring what was asked for. The text names method and URL (without
/// its query, which may hold a token).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub(crate) request: String,
    pub(crate) failure: Failure,
}

/// How a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The user has not granted this request; the host tells them which it was.
    Denied,
    /// The server's address is one that the user has not opened.
    AddressDenied,
    /// The request itself is wrong.
    BadRequest(String),
    /// Nobody accepts connections there.
    Refused,
    /// There is no such host.
    NotFound,
    /// No secure connection.
    Tls(String),
    /// No response in time.
    TimedOut,
    /// The client's own timeout has passed.
    TookLongerThan(Duration),
    /// The connection was lost.
    BrokenOff,
    /// The server answered with a status that is no success.
    Status {
        /// Of the response.
        code: u16,
        /// Beginning of its body.
        body: String,
    },
    /// The body is longer than the client takes; the limit in bytes.
    TooLong(usize),
    /// The body is not what it should be.
    Decode(String),
    /// Anything else.
    Other(String),
}

impl Error {
    pub(crate) fn new(request: impl Into<String>, failure: Failure) -> Self {
        Self {
            request: request.into(),
            failure,
        }
    }

    /// Returns how it failed.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Returns the status, if the server answered with one that is no success.
    pub fn status(&self) -> Option<u16> {
        match self.failure {
            Failure::Status { code, .. } => Some(code),
            _ => None,
        }
    }
}

impl Failure {
    /// Returns true if the server never saw the request, so that any may be repeated.
    pub(crate) fn is_before_sending(&self) -> bool {
        matches!(self, Self::Refused | Self::NotFound)
    }

    /// Returns true if another try may go better.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Refused
            | Self::NotFound
            | Self::TimedOut
            | Self::TookLongerThan(_)
            | Self::BrokenOff => true,
            Self::Status { code, .. } => matches!(code, 408 | 429 | 500 | 502 | 503 | 504),
            Self::Denied
            | Self::AddressDenied
            | Self::BadRequest(_)
            | Self::Tls(_)
            | Self::TooLong(_)
            | Self::Decode(_)
            | Self::Other(_) => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("the request is not granted"),
            Self::AddressDenied => f.write_str("the server's address is not granted"),
            Self::BadRequest(why) => write!(f, "it cannot be sent: {why}"),
            Self::Refused => f.write_str("nobody accepts connections there"),
            Self::NotFound => f.write_str("the host was not found"),
            Self::Tls(why) => write!(f, "no secure connection: {why}"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::TookLongerThan(limit) => write!(f, "no answer within {limit:?}"),
            Self::BrokenOff => f.write_str("the connection broke off"),
            Self::Status { code, body } if body.is_empty() => write!(f, "status {code}"),
            Self::Status { code, body } => write!(f, "status {code}: {body}"),
            Self::TooLong(limit) => write!(f, "the answer is longer than {limit} bytes"),
            Self::Decode(why) => write!(f, "the answer is not understood: {why}"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.request, self.failure)
    }
}

impl std::error::Error for Error {}

/// Decides what `hm` ends with where a request's failure ends the build: 401 and 403 want
/// a login, 404 was not found, no connection is a matter of transport, an overloaded
/// server is unavailable.
impl From<Error> for BackendError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error.failure {
            Failure::Denied | Failure::AddressDenied => Self::Denied(text),
            Failure::Status {
                code: 401 | 403, ..
            } => Self::Unauthorized(text),
            Failure::Status { code: 404, .. } => Self::NotFound(text),
            Failure::Status {
                code: 408 | 429 | 500..,
                ..
            } => Self::Unavailable(text),
            Failure::Refused
            | Failure::NotFound
            | Failure::Tls(_)
            | Failure::TimedOut
            | Failure::TookLongerThan(_)
            | Failure::BrokenOff => Self::Transport(text),
            Failure::Status { .. }
            | Failure::BadRequest(_)
            | Failure::TooLong(_)
            | Failure::Decode(_)
            | Failure::Other(_) => Self::Other(text),
        }
    }
}

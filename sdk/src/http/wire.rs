//! A request and a response as they cross the border.

pub use super::body::Body;
use crate::platform::HttpBytes;

/// A request on its way out.
pub struct Outgoing {
    /// `GET` and so on.
    pub method: String,
    /// `https` and not `http`.
    pub is_encrypted: bool,
    /// Host, and port unless it is the scheme's own.
    pub authority: String,
    /// Path and query; begins with `/`.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What is sent.
    pub body: Body,
    /// Wait for the response's head, in nanoseconds.
    pub head_timeout_ns: Option<u64>,
    /// Wait for the next bytes of the response, in nanoseconds.
    pub idle_timeout_ns: Option<u64>,
}

/// A response whose body is still to come.
pub struct Incoming {
    /// Of the response.
    pub status: u16,
    /// As the server sent them.
    pub headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: HttpBytes,
}

#[cfg(not(target_family = "wasm"))]
impl Incoming {
    /// Makes a response of a simulated server.
    pub fn new(
        status: u16,
        headers: Vec<(String, Vec<u8>)>,
        body: futures::stream::LocalBoxStream<'static, Result<Vec<u8>, super::Failure>>,
    ) -> Self {
        Self {
            status,
            headers,
            body: HttpBytes::new(body),
        }
    }
}

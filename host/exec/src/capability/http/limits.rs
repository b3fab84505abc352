//! What a component's requests may use up.

use std::time::Duration;

/// Ceilings for the HTTP requests of one build (reference `sandbox`, section 6).
///
/// A request over `held` waits; everything else that is exceeded ends the build with an
/// error that names the limit, except for times, of which the component is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// Requests whose response is not at its end, at one time.
    pub held: usize,
    /// Requests in a build.
    pub total: u64,
    /// Body of one request, in bytes.
    pub request_bytes: u64,
    /// Body of one response, in bytes.
    pub response_bytes: u64,
    /// All bodies of a build, both ways, in bytes.
    pub build_bytes: u64,
    /// Headers of one response, in bytes of names and values.
    pub header_bytes: usize,
    /// Header lines of one response.
    pub header_lines: usize,
    /// Looking up a name.
    pub resolve: Duration,
    /// Connecting, with the look-up and TLS.
    pub connect: Duration,
    /// From the last byte of the request to the response's head.
    pub first_byte: Duration,
    /// Between two pieces of a response's body.
    pub gap: Duration,
    /// One request with its response.
    pub whole: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            held: 16,
            total: 10_000,
            request_bytes: 1 << 30,
            response_bytes: 256 << 20,
            build_bytes: 4 << 30,
            header_bytes: 64 << 10,
            header_lines: 128,
            resolve: Duration::from_secs(5),
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            gap: Duration::from_secs(120),
            whole: Duration::from_secs(30 * 60),
        }
    }
}

/// Addresses of one name that are looked at; the rest is not connected to.
pub(super) const ADDRESSES_MAX: usize = 16;

/// Room for the headers of a request in the guest's table, in bytes of memory.
pub(super) const FIELDS_BYTES: usize = 64 << 10;

/// Bytes copied out of the guest at once, for a request's body.
pub(super) const CHUNK_BYTES: usize = 64 << 10;

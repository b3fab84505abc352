//! Which headers a component may not set, and what the host checks of the others.

use http::{HeaderMap, HeaderName, Method, header};
use wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS;

/// Names that belong to the connection, to proxies, or to a browser's state.
const FORBIDDEN: [&str; 7] = [
    "te",
    "trailer",
    "expect",
    "forwarded",
    "via",
    "x-real-ip",
    "cookie",
];

/// Returns true for a header that no component sets or sees, in heads and in trailers.
pub(super) fn is_forbidden(name: &HeaderName) -> bool {
    is_of_connection(name) || name == header::COOKIE
}

/// Returns true for a header that is the connection's, or tells about proxies.
pub(super) fn is_of_connection(name: &HeaderName) -> bool {
    let text = name.as_str();
    DEFAULT_FORBIDDEN_HEADERS.contains(name)
        || (FORBIDDEN.contains(&text) && name != header::COOKIE)
        || text.starts_with("x-forwarded-")
}

/// Checks what the guest's table of headers let through, once more: framing is the host's.
///
/// # Errors
/// What is wrong.
pub(super) fn check(headers: &HeaderMap) -> Result<(), &'static str> {
    if headers.keys().any(is_forbidden) {
        return Err("a header that belongs to the connection");
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let is_number = |value: &http::HeaderValue| {
        let bytes = value.as_bytes();
        !bytes.is_empty() && bytes.len() < 20 && bytes.iter().all(u8::is_ascii_digit)
    };
    match (lengths.next(), lengths.next()) {
        (Some(one), None) if !is_number(one) => Err("a content-length that is no number"),
        (Some(_), Some(_)) => Err("two of content-length"),
        _ => Ok(()),
    }
}

/// Returns true for a method that can be granted at all. `CONNECT` would make a tunnel
/// behind the policy, `TRACE` would send the credential back.
pub(super) fn is_method_possible(method: &Method) -> bool {
    !matches!(*method, Method::CONNECT | Method::TRACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_and_proxy_headers_are_the_hosts() {
        for name in [
            "Host",
            "TE",
            "trailer",
            "expect",
            "Forwarded",
            "via",
            "X-Forwarded-For",
            "x-forwarded-anything",
            "x-real-ip",
            "cookie",
            "connection",
            "Transfer-Encoding",
            "upgrade",
            "http2-settings",
            "proxy-authorization",
        ] {
            assert!(is_forbidden(&name.parse().unwrap()), "{name}");
        }
        for name in [
            "authorization",
            "content-type",
            "content-length",
            "set-cookie",
        ] {
            assert!(!is_forbidden(&name.parse().unwrap()), "{name}");
        }
    }

    #[test]
    fn lengths_are_one_number() {
        let headers = |values: &[&str]| {
            let mut map = HeaderMap::new();
            for value in values {
                map.append(header::CONTENT_LENGTH, value.parse().unwrap());
            }
            map
        };
        assert!(check(&headers(&["5"])).is_ok());
        for wrong in [&["+5"][..], &["5", "5"], &[""], &["-1"], &["5, 5"]] {
            assert!(check(&headers(wrong)).is_err(), "{wrong:?}");
        }
    }
}

//! Takes of `wasi:http`, and never gives back: nothing of it needs a grant.

use std::mem::forget;

use wasip3::http::types::{ErrorCode, Fields, Method, Request, RequestOptions, Trailers};
use wasip3::wit_future;

/// Nearly all that a table of headers takes.
const FULL: usize = 60 << 10;

/// Goes on until it is stopped.
pub(crate) fn act(what: &str) -> String {
    match what {
        "headers" => loop {
            forget(full());
        },
        "copies" => {
            let original = full();
            loop {
                forget(original.clone());
            }
        }
        "options" => loop {
            forget(RequestOptions::new());
        },
        "requests" => loop {
            forget(request(full()));
        },
        // What is too long is refused, and not held.
        "words" => {
            let request = request(Fields::new());
            let long = "x".repeat(1 << 20);
            let method = request.set_method(&Method::Other(long.clone())).is_err();
            let authority = request.set_authority(Some(&long)).is_err();
            let path = request
                .set_path_with_query(Some(&format!("/{long}")))
                .is_err();
            format!("refused: {method} {authority} {path}")
        }
        other => format!("there is no `{other}`"),
    }
}

fn full() -> Fields {
    let fields = Fields::new();
    let _ = fields.append("x-full", &vec![b'x'; FULL]);
    fields
}

fn request(headers: Fields) -> Request {
    let (writer, trailers) = wit_future::new::<Result<Option<Trailers>, ErrorCode>>(|| Ok(None));
    forget(writer);
    Request::new(headers, None, trailers, None).0
}

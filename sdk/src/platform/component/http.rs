//! `wasi:http` in terms of the client's own types.

use futures::StreamExt;
use futures::future::LocalBoxFuture;
use wasip3::http::client;
use wasip3::http::types::{
    ErrorCode, Fields, Method, Request, RequestOptions, Response, Scheme, Trailers,
};
use wasip3::{wit_future, wit_stream};
use wit_bindgen::StreamReader;

use super::Reading;
use crate::http::Failure;
use crate::http::wire::{Incoming, Outgoing};
use crate::http::{Body, BodyKind};

/// A response's body.
pub(crate) struct HttpBytes {
    data: Reading,
    /// Tells whether the body is complete.
    end: Option<LocalBoxFuture<'static, Result<Option<Trailers>, ErrorCode>>>,
}

impl HttpBytes {
    /// Returns the next chunk; dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Result<Vec<u8>, Failure>> {
        if let Some(chunk) = self.data.next().await {
            return Some(Ok(chunk));
        }
        let end = self.end.as_mut()?.await;
        self.end = None;
        end.err().map(|code| Err(failure(code)))
    }
}

pub(crate) async fn send(outgoing: Outgoing) -> Result<Incoming, Failure> {
    let request = request(outgoing)?;
    let response = client::send(request).await.map_err(failure)?;
    let status = response.get_status_code();
    let headers = response.get_headers().copy_all();
    // Dropping the writer tells that the body was taken well.
    let (_, taken) = wit_future::new(|| Ok(()));
    let (data, end) = Response::consume_body(response, taken);
    let body = HttpBytes {
        data: Reading::Idle(data),
        end: Some(Box::pin(async move { end.await })),
    };
    Ok(Incoming {
        status,
        headers,
        body,
    })
}

fn request(outgoing: Outgoing) -> Result<Request, Failure> {
    let refused = |what: &str| Failure::BadRequest(what.to_owned());
    let headers = Fields::from_list(&outgoing.headers)
        .map_err(|error| Failure::BadRequest(format!("a header is not allowed: {error:?}")))?;
    let options = RequestOptions::new();
    // Not every host has these; the client's own timeouts hold in any case.
    let _ = options.set_between_bytes_timeout(outgoing.idle_timeout_ns);
    let _ = options.set_first_byte_timeout(outgoing.head_timeout_ns);
    let (_, trailers) = wit_future::new(|| Ok(None));
    // Whoever waits for the transmission waits as long as the connection lives.
    let (request, _transmission) =
        Request::new(headers, contents(outgoing.body), trailers, Some(options));
    request
        .set_method(&method(&outgoing.method))
        .map_err(|()| refused("the method is none"))?;
    let scheme = if outgoing.is_encrypted {
        Scheme::Https
    } else {
        Scheme::Http
    };
    request
        .set_scheme(Some(&scheme))
        .map_err(|()| refused("the scheme is none"))?;
    request
        .set_authority(Some(&outgoing.authority))
        .map_err(|()| refused("the URL's host is none"))?;
    request
        .set_path_with_query(Some(&outgoing.path))
        .map_err(|()| refused("the URL's path or query is none"))?;
    Ok(request)
}

fn contents(body: Body) -> Option<StreamReader<u8>> {
    let mut chunks = match body.0 {
        BodyKind::Empty => return None,
        BodyKind::Archive(archive) => return archive.into_stream(),
        BodyKind::Bytes(bytes) => futures::stream::iter([bytes]).boxed_local(),
        BodyKind::Stream(stream) => stream,
    };
    let (mut writer, reader) = wit_stream::new();
    // Beside the wait for the response. When the request is dropped, so is the reader.
    wit_bindgen::spawn_local(async move {
        while let Some(chunk) = chunks.next().await {
            if !writer.write_all(chunk).await.is_empty() {
                break;
            }
        }
    });
    Some(reader)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn failure(code: ErrorCode) -> Failure {
    use ErrorCode as E;
    match code {
        E::HttpRequestDenied => Failure::Denied,
        E::DestinationIpProhibited => Failure::AddressDenied,
        E::ConnectionRefused | E::DestinationUnavailable | E::DestinationIpUnroutable => {
            Failure::Refused
        }
        E::DnsError(_) | E::DnsTimeout | E::DestinationNotFound => Failure::NotFound,
        E::TlsProtocolError | E::TlsCertificateError | E::TlsAlertReceived(_) => {
            Failure::Tls(words(&code))
        }
        E::ConnectionTimeout | E::ConnectionReadTimeout | E::ConnectionWriteTimeout => {
            Failure::TimedOut
        }
        E::HttpResponseTimeout => Failure::TimedOut,
        E::ConnectionTerminated | E::HttpResponseIncomplete => Failure::BrokenOff,
        E::HttpRequestUriInvalid | E::HttpRequestMethodInvalid | E::HttpRequestBodySize(_) => {
            Failure::BadRequest(words(&code))
        }
        E::InternalError(Some(text)) => Failure::Other(text),
        other => Failure::Other(words(&other)),
    }
}

/// Returns the code's own name; there is no better text in the interface.
fn words(code: &ErrorCode) -> String {
    format!("{code:?}").replace("ErrorCode::", "")
}

//! What went wrong on the network, in the contract's words. Never an address, and no text
//! of the host's own.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;

use wasmtime_wasi_http::Error;

use super::address::Closed;
use super::resolve::ResolveError;

/// A request that was not answered.
pub(super) enum Failed {
    /// For the guest.
    Network(Error),
    /// For the guest no more than that; the user sees the address.
    Closed(IpAddr, Closed),
}

/// Returns what stands behind the client's error.
pub(super) fn of_request(error: &reqwest::Error) -> Failed {
    for cause in causes(error) {
        if let Some(resolve) = cause.downcast_ref::<ResolveError>() {
            return match resolve {
                ResolveError::TimedOut => Failed::Network(Error::DnsTimeout),
                ResolveError::Unknown(_) => Failed::Network(Error::DnsError {
                    rcode: None,
                    info_code: None,
                }),
                ResolveError::Closed(address, closed) => Failed::Closed(*address, *closed),
            };
        }
        if let Some(known) = of_cause(cause) {
            return Failed::Network(known);
        }
    }
    Failed::Network(if error.is_timeout() && error.is_connect() {
        Error::ConnectionTimeout
    } else if error.is_timeout() {
        Error::HttpResponseTimeout
    } else if error.is_connect() {
        Error::ConnectionRefused
    } else if error.is_body() {
        Error::HttpResponseIncomplete
    } else {
        Error::HttpProtocolError
    })
}

/// Returns what stands behind an error in the middle of a response.
pub(super) fn of_body(error: &reqwest::Error) -> Error {
    match causes(error).find_map(of_cause) {
        Some(Error::ConnectionTerminated) | None => Error::HttpResponseIncomplete,
        Some(known) => known,
    }
}

fn of_cause(cause: &(dyn StdError + 'static)) -> Option<Error> {
    // What our own body said, by way of the client.
    if let Some(own) = cause.downcast_ref::<Error>() {
        return Some(match own {
            Error::HttpRequestBodySize(size) => Error::HttpRequestBodySize(*size),
            Error::HttpRequestTrailerSectionSize(size) => {
                Error::HttpRequestTrailerSectionSize(*size)
            }
            _ => Error::ConnectionTerminated,
        });
    }
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        return Some(of_tls(tls));
    }
    let io = cause.downcast_ref::<io::Error>()?;
    // What an I/O error was made of is not its source.
    if let Some(inner) = io.get_ref() {
        return of_cause(inner);
    }
    Some(match io.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Error::ConnectionTerminated,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Error::DestinationIpUnroutable
        }
        _ => return None,
    })
}

fn of_tls(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Error::TlsCertificateError
        }
        rustls::Error::AlertReceived(alert) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: None,
        },
        _ => Error::TlsProtocolError,
    }
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// Returns an error with its causes, for people who debug.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let texts: Vec<_> = causes(error).map(ToString::to_string).collect();
    crate::sequencer::clean::one_line(&texts.join(": "))
}

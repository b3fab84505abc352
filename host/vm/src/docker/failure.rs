//! What the daemon or the way to it answers, told so that a person can act on it.

use std::error::Error as _;
use std::io;

use bollard::errors::Error;

use super::address::Endpoint;
use crate::error::VmError;

/// Returns the status of the daemon's answer, if it answered.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Returns whether the daemon says that it has no such thing.
pub(super) fn is_absent(error: &Error) -> bool {
    status(error) == Some(404)
}

/// Returns the daemon's own words, or what went wrong on the way.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Error::DockerStreamError { error } => error.trim().to_owned(),
        Error::RequestTimeoutError => "it did not answer in time".to_owned(),
        other => {
            let mut text = other.to_string();
            let mut source = other.source();
            while let Some(cause) = source {
                let cause_text = cause.to_string();
                if !text.contains(&cause_text) {
                    text = format!("{text}: {cause_text}");
                }
                source = cause.source();
            }
            text
        }
    }
}

/// Takes over an error of something that was asked of the daemon: `action` as in "docker
/// could not commit the container"; for `map_err`.
pub(super) fn failed(endpoint: &Endpoint, action: &str) -> impl FnOnce(Error) -> VmError + use<> {
    let (endpoint, action) = (endpoint.clone(), action.to_owned());
    move |error| match &error {
        Error::DockerResponseServerError { message, .. } if message.contains("no space left") => {
            VmError::Unavailable {
                cause: format!("docker could not {action}: {}", words(&error)),
                remedy: "free space on the daemon's disk, for example with `docker system prune` \
                         and `hm cache prune`"
                    .to_owned(),
            }
        }
        Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. } => {
            VmError::Other(format!("docker could not {action}: {}", words(&error)))
        }
        _ => unreachable(&endpoint, &error),
    }
}

/// The daemon cannot be talked to.
pub(super) fn unreachable(endpoint: &Endpoint, error: &Error) -> VmError {
    let kind = io_kind(error);
    let socket = endpoint.socket().map(|path| path.display().to_string());
    let (cause, remedy) = match (kind, &socket, error) {
        (_, Some(_), Error::SocketNotFoundError(_))
        | (Some(io::ErrorKind::NotFound), Some(_), _) => (
            "there is no such socket".to_owned(),
            "start Docker (`sudo systemctl start docker`), set DOCKER_HOST to where it listens, or \
             run without it: `--engine sandbox`",
        ),
        (Some(io::ErrorKind::PermissionDenied), Some(_), _) => (
            "this user may not use the socket".to_owned(),
            "`sudo usermod -aG docker $USER` and log in again, or install rootless Docker; \
             `--engine sandbox` needs neither",
        ),
        (Some(io::ErrorKind::ConnectionRefused), _, _) => (
            "nothing listens there".to_owned(),
            "start Docker (`sudo systemctl start docker`), or set DOCKER_HOST to where it listens",
        ),
        (_, _, Error::RequestTimeoutError) => (
            words(error),
            "look at its log (`journalctl -u docker`), or start it anew",
        ),
        _ => (
            words(error),
            "`docker version` tells whether the daemon answers; set DOCKER_HOST to where it \
             listens, or run without it: `--engine sandbox`",
        ),
    };
    VmError::Unavailable {
        cause: format!(
            "the Docker daemon at {} ({}) cannot be reached: {cause}",
            endpoint.address, endpoint.origin
        ),
        remedy: remedy.to_owned(),
    }
}

fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref::<io::Error>() {
            return Some(found.kind());
        }
        source = cause.source();
    }
    None
}

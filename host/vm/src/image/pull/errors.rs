//! What a registry, or the way to it, said, and what to do about it.

use std::error::Error;

use oci_client::errors::{OciDistributionError, OciErrorCode};

use crate::error::VmError;
use crate::image::failure;

/// What happened, as far as there is something to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The registry wants a login, or another.
    Login,
    /// There is no such image, or nobody may know.
    Missing,
    /// Too many requests.
    Rate,
    /// The certificate is not trusted.
    Certificate,
    /// TLS with what speaks none.
    NoTls,
    /// The registry cannot be reached.
    Unreachable,
    Other,
}

/// Puts an error of the client in words.
pub(super) fn told(
    image: &str,
    host: &str,
    is_plain: bool,
    has_login: bool,
    error: &OciDistributionError,
) -> VmError {
    let (kind, words) = read(error);
    let hidden = "or the name or tag is wrong: a registry that wants a login often says no more";
    let remedy = match kind {
        Kind::Login if has_login => format!(
            "the login in your Docker configuration is not good for this image: `docker login {host}` \
             again, or ask for access; {hidden}"
        ),
        Kind::Login => format!("log in first: `docker login {host}`; {hidden}"),
        Kind::Missing => {
            format!("check the name and the tag; if the image is private: `docker login {host}`")
        }
        Kind::Rate => format!("wait a while, or log in: `docker login {host}`"),
        Kind::Certificate => format!(
            "if the registry has a certificate of your own authority, add to your configuration \
             [registries.\"{host}\"] with `ca = \"FILE.pem\"`"
        ),
        Kind::NoTls => format!(
            "if the registry speaks plain HTTP, add to your configuration [registries.\"{host}\"] \
             with `insecure = true`"
        ),
        Kind::Unreachable => format!(
            "check that {host} can be reached from here; without a network, bring the image in \
             with `hm image import FILE {image}`, or run on this machine's own file system with \
             `--image '{image}=host'`"
        ),
        Kind::Other => format!(
            "try again later; without the registry, bring the image in with `hm image import FILE \
             {image}`"
        ),
    };
    let scheme = if is_plain { "http" } else { "https" };
    let words = match kind {
        Kind::Unreachable | Kind::Certificate | Kind::NoTls => {
            format!("{scheme}://{host} cannot be reached: {words}")
        }
        _ => format!("the registry {host} says: {words}"),
    };
    failure::fetch(image, words, remedy)
}

/// Returns an error's kind, and the registry's own words where there are any.
fn read(error: &OciDistributionError) -> (Kind, String) {
    use OciDistributionError as E;
    match error {
        E::RegistryError { envelope, .. } => {
            let kind = envelope
                .errors
                .first()
                .map_or(Kind::Other, |error| match error.code {
                    OciErrorCode::Unauthorized | OciErrorCode::Denied => Kind::Login,
                    OciErrorCode::ManifestUnknown
                    | OciErrorCode::NameUnknown
                    | OciErrorCode::NotFound
                    | OciErrorCode::BlobUnknown
                    | OciErrorCode::ManifestBlobUnknown
                    | OciErrorCode::NameInvalid => Kind::Missing,
                    OciErrorCode::Toomanyrequests => Kind::Rate,
                    _ => Kind::Other,
                });
            let words: Vec<String> = envelope
                .errors
                .iter()
                .map(|error| {
                    let code = serde_json::to_value(&error.code).unwrap_or_default();
                    let code = code.as_str().unwrap_or_default().to_owned();
                    match (&error.message, error.detail.as_str()) {
                        (message, Some(detail)) => format!("{message} ({code}: {detail})"),
                        (message, None) => format!("{message} ({code})"),
                    }
                })
                .collect();
            (kind, clean(&words.join("; ")))
        }
        E::UnauthorizedError { .. } => (
            Kind::Login,
            "authentication required (401 Unauthorized)".to_owned(),
        ),
        E::AuthenticationFailure(text) => {
            let text = clean(text);
            let text = if text.is_empty() {
                "unauthorized".to_owned()
            } else {
                text
            };
            (Kind::Login, text)
        }
        E::ImageManifestNotFoundError(text) => (Kind::Missing, clean(text)),
        E::ServerError { code, message, .. } => {
            let kind = match code {
                401 | 403 => Kind::Login,
                404 => Kind::Missing,
                429 => Kind::Rate,
                _ => Kind::Other,
            };
            (
                kind,
                format!("{code} {}", clean(message)).trim_end().to_owned(),
            )
        }
        E::RequestError(_) | E::IoError(_) => {
            let words = chain(error);
            let low = words.to_ascii_lowercase();
            let kind = if low.contains("certificate") || low.contains("unknownissuer") {
                Kind::Certificate
            } else if low.contains("corrupt message") || low.contains("invalidcontenttype") {
                Kind::NoTls
            } else {
                Kind::Unreachable
            };
            (kind, clean(&words))
        }
        other => (Kind::Other, clean(&chain(other))),
    }
}

/// An error with its causes on one line, each thing said once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// Makes a stranger's words fit for one line.
fn clean(text: &str) -> String {
    const LONGEST: usize = 500;
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut text: String = words
        .join(" ")
        .chars()
        .filter(|letter| !letter.is_control())
        .collect();
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

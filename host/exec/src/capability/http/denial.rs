//! What a component was refused, in the words that its user gets. The component itself
//! learns no more than that it was refused.

use std::fmt;
use std::net::IpAddr;

use http::Method;

use super::address::Closed;
use super::pattern::Pattern;
use super::target::{Target, is_plain_path};
use crate::sequencer::clean::one_line;

/// Longest address of a request in a message, in bytes.
const SHOWN_MAX: usize = 200;

/// One refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    method: String,
    url: String,
    why: Why,
    /// Flags of `hm backend grant` that allow it; none if nothing does, or if they cannot be
    /// typed safely.
    flags: Option<Flags>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Flags {
    text: String,
    is_surprising: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    Malformed(&'static str),
    Host,
    Place,
    Path,
    Method,
    MethodNever,
    Header(String),
    Address(IpAddr, Closed),
}

impl Denial {
    /// The address cannot be understood in one way only.
    pub(super) fn malformed(method: &Method, uri: &http::Uri, why: &'static str) -> Self {
        Self::new(method, &uri.to_string(), Why::Malformed(why), None)
    }

    /// No pattern covers it; perhaps one covers the host.
    pub(super) fn place(method: &Method, target: &Target, is_host_known: bool) -> Self {
        if is_host_known && !is_plain_path(&target.path) {
            // No path that can be granted covers it.
            return Self::new(method, &target.to_string(), Why::Path, None);
        }
        let flags = Flags {
            text: format!("--http {}", Pattern::of(target, is_host_known)),
            is_surprising: !is_host_known,
        };
        let why = if is_host_known { Why::Place } else { Why::Host };
        Self::new(method, &target.to_string(), why, Some(flags))
    }

    /// The method is not granted.
    pub(super) fn method(method: &Method, target: &Target) -> Self {
        let (why, flags) = if super::headers::is_method_possible(method) {
            let flags = Flags {
                text: format!("--http-method {method}"),
                is_surprising: false,
            };
            (Why::Method, Some(flags))
        } else {
            (Why::MethodNever, None)
        };
        Self::new(method, &target.to_string(), why, flags)
    }

    /// It sets a header that is the host's to set.
    pub(super) fn header(method: &Method, target: &Target, name: &str) -> Self {
        Self::new(
            method,
            &target.to_string(),
            Why::Header(name.to_owned()),
            None,
        )
    }

    /// The name leads to an address that is closed.
    pub(super) fn address(
        method: &Method,
        target: &Target,
        (address, closed): (IpAddr, Closed),
    ) -> Self {
        let flags = Flags {
            text: format!("--http-private {}", super::PrivateRange::one(address)),
            is_surprising: true,
        };
        Self::new(
            method,
            &target.to_string(),
            Why::Address(address, closed),
            Some(flags),
        )
    }

    fn new(method: &Method, url: &str, why: Why, flags: Option<Flags>) -> Self {
        let end = url.floor_char_boundary(SHOWN_MAX);
        let dots = if end < url.len() { "…" } else { "" };
        let method = method.as_str();
        Self {
            method: one_line(&method[..method.floor_char_boundary(32)]),
            url: one_line(&url[..end]) + dots,
            why,
            flags,
        }
    }

    /// Returns what would allow it: the command to type, or what to do instead.
    pub(crate) fn remedy(&self, digest: &str) -> Option<String> {
        let flags = self.flags.as_ref()?;
        // This is the one text that people paste.
        let is_safe = flags
            .text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b" ._:/@+=-".contains(&b));
        let head = if flags.is_surprising {
            "only if you expected this: "
        } else {
            "to allow it: "
        };
        Some(if is_safe {
            format!("{head}hm backend grant {digest} {}", flags.text)
        } else {
            format!(
                "{head}add `{}` to the grant of {digest} in grants.toml",
                flags.text.trim_start_matches("--http ")
            )
        })
    }

    /// Returns what two denials have in common that are told once.
    pub(crate) fn subject(&self) -> String {
        match (&self.flags, &self.why) {
            (Some(flags), _) => flags.text.clone(),
            (None, why) => format!("{why:?}"),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.method, self.url)?;
        match &self.why {
            Why::Malformed(why) => f.write_str(why),
            Why::Host => f.write_str("host not granted"),
            Why::Place => f.write_str("only other parts of this host are granted"),
            Why::Path => f.write_str(
                "a path with `.`, `..`, `//`, `\\` or one of them in its encoded form is part of no \
                 granted place",
            ),
            Why::Method => f.write_str("method not granted"),
            Why::MethodNever => f.write_str("this method cannot be granted"),
            Why::Header(name) => write!(
                f,
                "it sets `{name}`, which hm sets at this host with your credential"
            ),
            Why::Address(address, closed) => write!(f, "it resolves to {address}, {closed}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_holds_nothing_that_a_shell_reads() {
        let target = |url: &str| Target::read(&url.parse().unwrap()).unwrap();
        let denial = Denial::place(
            &Method::GET,
            &target("https://evil.example/x?y=$(z)"),
            false,
        );
        assert_eq!(
            denial.remedy("sha256:0").unwrap(),
            "only if you expected this: hm backend grant sha256:0 --http https://evil.example/"
        );
        // Brackets are patterns to a shell.
        let denial = Denial::place(&Method::GET, &target("https://[2606:4700::1]:8443/"), false);
        assert_eq!(
            denial.remedy("sha256:0").unwrap(),
            "only if you expected this: add `https://[2606:4700::1]:8443/` to the grant of sha256:0 in grants.toml"
        );
        // A command that would change nothing is none.
        let denial = Denial::place(&Method::GET, &target("https://a.example/b/../c"), true);
        assert_eq!(denial.remedy("sha256:0"), None);
        assert!(
            Denial::method(&Method::TRACE, &target("https://a.example/"))
                .remedy("x")
                .is_none()
        );
    }
}

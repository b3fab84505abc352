//! Which requests a grant covers: the grammar of HTTP patterns.
//!
//! ```text
//! pattern = scheme "://" host [":" port] [path]
//! scheme  = "https" / "http"
//! host    = label *("." label) / "*." label 1*("." label) / IPv4 / "[" IPv6 "]"
//! port    = 1..65535, by default 443 or 80, exact
//! path    = "/" …; one that ends in "/" is a prefix, any other is exact
//! ```
//!
//! A pattern is kept and shown in one spelling, without a default port or the root's dot,
//! which name nothing new. What else could mean the same is an error that names the right
//! spelling, so that two readers of a grant never understand two things.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::target::{Host, Scheme, Target, host, is_plain_path};

/// Requests of one scheme, host (or all hosts below a name), port and path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    pub(super) scheme: Scheme,
    pub(super) hosts: Hosts,
    pub(super) port: u16,
    path: Option<String>,
}

/// The hosts of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Hosts {
    /// This one.
    One(Host),
    /// One label or more before this name, which is not covered itself.
    Below(String),
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    text: String,
    reason: &'static str,
    corrected: Option<String>,
}

impl PatternError {
    /// Returns the pattern that was probably meant.
    pub fn corrected(&self) -> Option<&str> {
        self.corrected.as_deref()
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no HTTP pattern: {}",
            self.text.escape_debug(),
            self.reason
        )?;
        match &self.corrected {
            Some(corrected) => write!(f, "; write `{corrected}`"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PatternError {}

impl Pattern {
    /// Returns the pattern of everything at the host that a request is for, or of its very
    /// path.
    pub(super) fn of(target: &Target, is_exact: bool) -> Self {
        let path = if is_exact && is_plain_path(&target.path) {
            target.path.clone()
        } else {
            "/".into()
        };
        Self {
            scheme: target.scheme,
            hosts: Hosts::One(target.host.clone()),
            port: target.port,
            path: Some(path),
        }
    }

    /// Returns whether a request is covered.
    pub(super) fn covers(&self, target: &Target) -> bool {
        self.scheme == target.scheme
            && self.port == target.port
            && self.covers_host(target)
            && self
                .path
                .as_deref()
                .is_none_or(|path| covers_path(path, &target.path))
    }

    /// Returns whether a request goes to one of the hosts, whatever its scheme, port and path.
    pub(super) fn covers_host(&self, target: &Target) -> bool {
        match (&self.hosts, &target.host) {
            (Hosts::One(own), host) => own == host,
            (Hosts::Below(own), Host::Name(name)) => name
                .strip_suffix(own.as_str())
                .is_some_and(|labels| labels.len() > 1 && labels.ends_with('.')),
            (Hosts::Below(_), _) => false,
        }
    }

    /// Returns whether the pattern names this very address, and so opens it.
    pub(super) fn opens(&self, address: IpAddr) -> bool {
        matches!(&self.hosts, Hosts::One(Host::Address(own)) if *own == address)
    }

    /// Returns true if what is sent can be read on the way: no TLS, and not on this machine.
    pub fn is_in_the_clear(&self) -> bool {
        let stays_here = matches!(&self.hosts, Hosts::One(host) if host.is_loopback());
        self.scheme == Scheme::Http && !stays_here
    }

    /// Returns true if the pattern covers more than one host.
    pub fn is_wide(&self) -> bool {
        matches!(self.hosts, Hosts::Below(_))
    }
}

#[cfg(feature = "internals")]
impl Pattern {
    /// Returns the URL that is sent for a request to `uri`, if this pattern covers it.
    pub(crate) fn sent(&self, uri: &str) -> Option<String> {
        let target = Target::read(&uri.parse().ok()?).ok()?;
        let url = target.url().ok().filter(|_| self.covers(&target));
        url.map(String::from)
    }
}

fn covers_path(pattern: &str, path: &str) -> bool {
    if !is_plain_path(path) {
        return false;
    }
    if pattern.ends_with('/') {
        path.starts_with(pattern)
    } else {
        path == pattern
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        match &self.hosts {
            Hosts::One(host) => host.fmt(f)?,
            Hosts::Below(name) => write!(f, "*.{name}")?,
        }
        if self.port != self.scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(self.path.as_deref().unwrap_or_default())
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong, and the pattern that was meant where that is evident.
    fn from_str(text: &str) -> Result<Self, PatternError> {
        read(text).map_err(|(reason, meant)| PatternError {
            text: text.to_owned(),
            reason,
            // Only what is a pattern itself is offered, in its one spelling.
            corrected: meant
                .and_then(|meant| read(&meant).ok())
                .map(|pattern| pattern.to_string()),
        })
    }
}

/// What is wrong, and what may have been meant.
type Wrong = (&'static str, Option<String>);

fn read(text: &str) -> Result<Pattern, Wrong> {
    if let Some(bad) = text.find(|c: char| c.is_control() || c.is_whitespace()) {
        let meant = text.trim();
        return Err((
            "it holds a space or a control character",
            (bad == 0 || text.ends_with(char::is_whitespace)).then(|| meant.to_owned()),
        ));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err((
            "it has no scheme",
            (!text.is_empty()).then(|| format!("https://{text}")),
        ));
    };
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        other => {
            let small = other.to_ascii_lowercase();
            let meant = (small != other).then(|| format!("{small}://{rest}"));
            return Err(("the scheme is `https` or `http`", meant));
        }
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let with = |authority: &str| Some(format!("{scheme}://{authority}{path}"));
    if let Some(end) = path.find(['?', '#']) {
        let meant = format!("{scheme}://{authority}{}", &path[..end]);
        return Err((
            "a query or a fragment is no part of what is granted",
            Some(meant),
        ));
    }
    if let Some((_, host)) = authority.rsplit_once('@') {
        return Err((
            "a user or password in it would be sent; credentials are given by --credential",
            with(host),
        ));
    }
    let (hosts, port) = read_authority(authority, scheme, &with)?;
    let path = read_path(path, &|path| Some(format!("{scheme}://{authority}{path}")))?;
    Ok(Pattern {
        scheme,
        hosts,
        port,
        path,
    })
}

fn read_authority(
    authority: &str,
    scheme: Scheme,
    with: &dyn Fn(&str) -> Option<String>,
) -> Result<(Hosts, u16), Wrong> {
    let after_address = authority.rfind(']').map_or(0, |end| end + 1);
    let (name, port) = match authority[after_address..].split_once(':') {
        None => (authority, None),
        Some((rest, port)) => (&authority[..after_address + rest.len()], Some(port)),
    };
    let port = match port {
        None => scheme.port(),
        Some("") => return Err(("the port is missing", with(name))),
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 && port.to_string() == text => port,
            Ok(port) if port > 0 => {
                return Err((
                    "the port has a sign or zeros",
                    with(&format!("{name}:{port}")),
                ));
            }
            _ => return Err(("a port is a number from 1 to 65535", None)),
        },
    };
    let port_text = authority.strip_prefix(name).unwrap_or_default();
    let with_name = |name: &str| with(&format!("{name}{port_text}"));
    Ok((read_hosts(name, &with_name)?, port))
}

fn read_hosts(name: &str, with: &dyn Fn(&str) -> Option<String>) -> Result<Hosts, Wrong> {
    if name.is_empty() {
        return Err(("it has no host", None));
    }
    if !name.is_ascii() {
        return Err((
            "a host with other letters than a to z is written in punycode",
            punycode(name).and_then(|name| with(&name)),
        ));
    }
    let small = name.to_ascii_lowercase();
    if small != name {
        return Err(("a host is written in small letters", with(&small)));
    }
    // The root's dot names the same host.
    let name = name.strip_suffix('.').unwrap_or(name);
    if let Some(below) = name.strip_prefix("*.") {
        return match host(below) {
            Some(Host::Name(below)) if below.contains('.') => Ok(Hosts::Below(below)),
            Some(Host::Name(_)) => Err((
                "all hosts below a top-level name are too many; name one below it, as `*.example.com`",
                None,
            )),
            Some(_) => Err(("there is nothing below an address", None)),
            None => Err(("after `*.` comes a host's name", None)),
        };
    }
    if name == "*" {
        return Err((
            "there is no pattern for every host; name those that it may reach",
            None,
        ));
    }
    if name.contains('*') {
        return Err((
            "a `*` stands only for whole labels at the start, as in `*.example.com`",
            None,
        ));
    }
    match host(name) {
        Some(host) if host.to_string() == name => Ok(Hosts::One(host)),
        Some(host) => Err((
            "an IPv6 address is written in its shortest form",
            with(&host.to_string()),
        )),
        None if looks_like_ipv6(name) => Err((
            "an IPv6 address stands in brackets",
            name.parse::<Ipv6Addr>()
                .ok()
                .and_then(|address| with(&format!("[{address}]"))),
        )),
        None if name.starts_with('[') => Err((
            "in the brackets stands an IPv6 address, without a zone",
            None,
        )),
        None => Err((
            "the host is neither a name nor an address of four decimal numbers",
            loose_ipv4(name).and_then(|address| with(&address.to_string())),
        )),
    }
}

fn read_path(path: &str, with: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, Wrong> {
    if path.is_empty() {
        return Ok(None);
    }
    if let Some(prefix) = path.strip_suffix('*') {
        let meant = if prefix.ends_with('/') {
            with(prefix)
        } else {
            None
        };
        return Err((
            "a path has no `*`; one that ends in `/` covers all below",
            meant,
        ));
    }
    if !path.is_ascii() || path.contains(['*', '"', '<', '>', '`', '{', '}', '|', '^']) {
        return Err(("the path holds a character that a path cannot", None));
    }
    if !is_plain_path(path) {
        return Err((
            "the path holds `\\`, `//`, a `.` or `..` segment, or one of them encoded",
            None,
        ));
    }
    Ok(Some(path.to_owned()))
}

fn looks_like_ipv6(name: &str) -> bool {
    name.contains(':') || name.parse::<Ipv6Addr>().is_ok()
}

/// Returns the name as the DNS has it.
fn punycode(name: &str) -> Option<String> {
    let url = reqwest::Url::parse(&format!("https://{name}/")).ok()?;
    url.host_str().map(str::to_owned)
}

/// Reads an IPv4 address as C libraries do, to say what it is.
fn loose_ipv4(name: &str) -> Option<Ipv4Addr> {
    let url = reqwest::Url::parse(&format!("https://{name}/")).ok()?;
    url.host_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::read(&url.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_pattern_is_shown_as_it_is_written() {
        for text in [
            "https://api.acme.example/v1/",
            "https://api.acme.example",
            "https://*.logs.acme.example",
            "http://127.0.0.1:8080/",
            "https://[2001:db8::1]:8443/x",
            "http://localhost:1/",
            "https://xn--bcher-kva.example/",
        ] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
        // A default port and the root's dot name nothing new.
        for (text, shown) in [
            ("https://a.example:443/", "https://a.example/"),
            ("http://a.example.:80", "http://a.example"),
        ] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_pattern_is_told_with_what_was_meant() {
        for (text, meant) in [
            ("api.acme.example/v1/", Some("https://api.acme.example/v1/")),
            ("HTTPS://api.acme.example", Some("https://api.acme.example")),
            ("https://API.acme.example", Some("https://api.acme.example")),
            (
                "https://bücher.example/",
                Some("https://xn--bcher-kva.example/"),
            ),
            ("https://me:pw@acme.example/", Some("https://acme.example/")),
            (
                "https://acme.example/v1/*",
                Some("https://acme.example/v1/"),
            ),
            (
                "https://acme.example/v1?x=1",
                Some("https://acme.example/v1"),
            ),
            ("https://acme.example#top", Some("https://acme.example")),
            ("https://acme.example:/", Some("https://acme.example/")),
            ("https://acme.example:0443/", Some("https://acme.example/")),
            ("http://127.1/", Some("http://127.0.0.1/")),
            ("http://0x7f.1:90/", Some("http://127.0.0.1:90/")),
            ("http://2130706433", Some("http://127.0.0.1")),
            ("http://[::0001]/", Some("http://[::1]/")),
            (" https://acme.example/", Some("https://acme.example/")),
            ("https://*", None),
            ("https://*/", None),
            ("https://*.com", None),
            ("https://a*.example.com/", None),
            ("https://a.*.example.com/", None),
            ("https://*.127.0.0.1/", None),
            ("https://acme.example:0/", None),
            ("https://acme.example:65536/", None),
            ("https://acme.example/a/../b", None),
            ("https://acme.example//b", None),
            ("https://acme.example/a%2Fb", None),
            ("https://acme.example\\b", None),
            ("https://-x.example/", None),
            ("https://a..example/", None),
            ("ftp://acme.example/", None),
            ("https://", None),
            ("", None),
            ("https://a b.example/", None),
            ("https://a.example/\u{1b}[2J", None),
        ] {
            let error = text.parse::<Pattern>().expect_err(text);
            assert_eq!(error.corrected(), meant, "{text}: {error}");
        }
    }

    #[test]
    fn paths_are_prefixes_of_whole_segments_or_exact() {
        let prefix: Pattern = "https://a.example/v1/".parse().unwrap();
        let exact: Pattern = "https://a.example/v1".parse().unwrap();
        let all: Pattern = "https://a.example".parse().unwrap();
        for (path, by_prefix, by_exact) in [
            ("/v1/", true, false),
            ("/v1/x?q=..//", true, false),
            ("/v1", false, true),
            ("/v1?x", false, true),
            ("/v10", false, false),
            ("/", false, false),
            ("/v1/../secret", false, false),
            ("/v1/%2e%2E/secret", false, false),
            ("/v1/%2fx", false, false),
            ("/v1/%5Cx", false, false),
            ("/v1/%00", false, false),
            ("/v1//x", false, false),
            ("/v1/./x", false, false),
        ] {
            let target = target(&format!("https://a.example{path}"));
            assert_eq!(prefix.covers(&target), by_prefix, "{path}");
            assert_eq!(exact.covers(&target), by_exact, "{path}");
            assert!(all.covers(&target), "{path}");
        }
    }

    #[test]
    fn hosts_ports_and_schemes_are_exact() {
        let covers =
            |pattern: &str, url: &str| pattern.parse::<Pattern>().unwrap().covers(&target(url));
        assert!(covers("https://a.example/", "https://A.Example./x"));
        assert!(!covers("https://a.example/", "http://a.example/"));
        assert!(!covers("https://a.example/", "https://a.example:8443/"));
        assert!(covers("https://a.example:8443", "https://a.example:8443/"));
        assert!(!covers(
            "https://acme.example/",
            "https://evilacme.example/"
        ));
        let wild = "https://*.acme.example/";
        assert!(covers(wild, "https://a.acme.example/"));
        assert!(covers(wild, "https://a.b.acme.example/"));
        assert!(!covers(wild, "https://acme.example/"));
        assert!(!covers(wild, "https://evilacme.example/"));
        assert!(!covers(wild, "https://acme.example.evil.example/"));
        assert!(covers("http://[::1]:9/", "http://[0:0:0::1]:9/"));
        assert!(!covers("http://127.0.0.1/", "http://[::ffff:127.0.0.1]/"));
    }
}

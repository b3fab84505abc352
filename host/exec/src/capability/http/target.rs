//! Where a request goes, read once and strictly: what is judged is what is sent.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// Returns the port where none is given.
    pub(super) fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// A host in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Host {
    /// Small letters, no dot at the end.
    Name(String),
    /// Never looked up.
    Address(IpAddr),
}

impl Host {
    /// Returns true if the host is this machine by its very spelling.
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => is_localhost(name),
            Self::Address(address) => address.to_canonical().is_loopback(),
        }
    }
}

/// Returns true for the names that never leave the machine (RFC 6761, section 6.3).
pub(super) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Reads a host in small letters: a name, four decimal numbers, or an IPv6 address in
/// brackets. None for everything that some reader takes for an address and another does not.
pub(super) fn host(text: &str) -> Option<Host> {
    if let Some(address) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        let address: Ipv6Addr = address.parse().ok()?;
        return Some(Host::Address(address.into()));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(Host::Address(address.into()));
    }
    let labels = || text.split('.');
    let is_name = text.len() <= 253 && labels().all(is_label);
    // C libraries read these as addresses: `0x7f.1`, `127.1`, `2130706433`.
    let is_number = labels().next_back().is_some_and(|last| {
        last.bytes().all(|b| b.is_ascii_digit())
            || last
                .strip_prefix("0x")
                .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
    });
    (is_name && !is_number).then(|| Host::Name(text.to_owned()))
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Returns true for a path that every server reads alike. It is never brought into another
/// form: one that needs that is refused.
pub(super) fn is_plain_path(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    !path.contains('\\')
        && !path.contains("//")
        && !path
            .split('/')
            .any(|segment| segment == "." || segment == "..")
        && !["%2e", "%2f", "%5c", "%00"]
            .iter()
            .any(|encoded| lower.contains(encoded))
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) host: Host,
    pub(super) port: u16,
    /// As it came, `/` if there was none.
    pub(super) path: String,
    query: Option<String>,
}

impl Target {
    /// Reads the address of a request.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(uri: &http::Uri) -> Result<Self, &'static str> {
        let scheme = match uri.scheme_str() {
            Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            _ => return Err("the scheme is neither http nor https"),
        };
        let authority = uri.authority().ok_or("it has no host")?.as_str();
        if authority.contains('@') {
            return Err("a user or password in the address");
        }
        let after_address = authority.rfind(']').map_or(0, |end| end + 1);
        let (name, port) = match authority[after_address..].split_once(':') {
            None => (authority, scheme.port()),
            Some((rest, port)) => {
                let number = port.parse::<u16>().ok().filter(|number| *number > 0);
                let number = number.filter(|_| port.bytes().all(|b| b.is_ascii_digit()));
                let name = &authority[..after_address + rest.len()];
                (name, number.ok_or("the port is no number from 1 to 65535")?)
            }
        };
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let host = host(name).ok_or(
            "the host is neither a name nor an address of four decimal numbers or in brackets",
        )?;
        let path = match uri.path() {
            "" => "/",
            path if path.starts_with('/') => path,
            _ => return Err("the path does not begin with `/`"),
        };
        Ok(Self {
            scheme,
            host,
            port,
            path: path.to_owned(),
            query: uri.query().map(str::to_owned),
        })
    }

    /// Returns the address as the client sends it: canonical host, path and query as they
    /// came.
    ///
    /// # Errors
    /// The client would send another path than the one that was judged.
    pub(super) fn url(&self) -> Result<reqwest::Url, &'static str> {
        let text = self.to_string();
        let url = reqwest::Url::parse(&text).map_err(|_| "it is no URL")?;
        let query = url.query().map(escaped);
        let is_same = escaped(url.path()) == escaped(&self.path)
            && query == self.query.as_deref().map(escaped)
            && url.fragment().is_none()
            && url.port_or_known_default() == Some(self.port)
            && url.host_str() == Some(self.host.to_string().as_str());
        if is_same {
            Ok(url)
        } else {
            Err("the path would be sent in another form than it was given")
        }
    }
}

/// Escapes what clients escape by themselves, which changes nothing about where a request
/// goes.
fn escaped(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'\'' | b'<' | b'>' | b'`' | b'{' | b'}' | b'|' | b'^' | 0x80.. => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
            byte => out.push(char::from(byte)),
        }
    }
    out
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.port != self.scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_spelling() {
        for wrong in [
            "http://127.1/",
            "http://0177.0.0.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://a.0x7f/",
            "http://1.2.3.4.5/",
            "http://good.example@evil.example/",
            "http://good.example:80@evil.example/",
            "http://a.example:0/",
            "http://-a.example/",
            "http://a..example/",
            "ftp://a.example/",
        ] {
            // Some are no URI at all.
            if let Ok(uri) = wrong.parse() {
                assert!(Target::read(&uri).is_err(), "{wrong}");
            }
        }
        let read = |text: &str| Target::read(&text.parse().unwrap()).unwrap();
        assert!(read("http://[::1]:8/").host.is_loopback());
        assert!(read("http://localhost./").host.is_loopback());
        assert!(!read("http://localhost.evil.example/").host.is_loopback());
    }

    #[test]
    fn what_is_sent_is_what_was_judged() {
        let url = |text: &str| Target::read(&text.parse().unwrap()).unwrap().url();
        for good in [
            "http://a.example/x/y?q=a%2Fb&r='x'",
            "http://a.example/{id}/%20",
            "https://[::1]:8/",
            "http://a.example?q",
        ] {
            assert!(url(good).is_ok(), "{good}");
        }
        for wrong in [
            "http://a.example/a/../b",
            "http://a.example/a/%2e%2E/b",
            "http://a.example/./b",
        ] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}

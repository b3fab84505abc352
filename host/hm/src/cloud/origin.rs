//! Where the service is: scheme, host and port, and nothing else.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use crate::failure::Failure;

/// An origin, as `https://api.harmont.dev`. TLS, or this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin(String);

impl Origin {
    /// Reads an origin; a final `/` is dropped. `name` is what it was called by.
    ///
    /// # Errors
    /// Usage, with what is wrong and how to write it.
    pub(crate) fn read(text: &str, name: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::usage(format!(
                "{name} is `{}`, {why}",
                hm_render::clean_line(text)
            ))
            .hint(format!("write it as https://HOST: {name} takes no path"))
        };
        let url = Url::parse(text.trim()).map_err(|_| wrong("which is no URL"))?;
        let Some(host) = url.host_str() else {
            return Err(wrong("which has no host"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("which holds a user or a password"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("which has more than a host"));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(host) => {}
            "http" => return Err(wrong("where everybody on the way could read your token")),
            _ => return Err(wrong("which is neither https nor http")),
        }
        Ok(Self(url.origin().ascii_serialization()))
    }

    /// Returns the origin as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true for one over TLS; others are this machine.
    pub(crate) fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Returns true for this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let url = Url::parse(&self.0).ok();
        url.is_some_and(|url| url.host_str().is_some_and(is_loopback))
    }

    /// Returns the dashboard that belongs to an interface: `app.` for `api.`, and the same
    /// for anything else.
    pub(crate) fn dashboard(&self) -> Self {
        Self(self.0.replacen("://api.", "://app.", 1))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let read = |text: &str| Origin::read(text, "HM_API_URL").map(|origin| origin.0);
        assert_eq!(
            read("https://api.harmont.dev/").unwrap(),
            "https://api.harmont.dev"
        );
        assert_eq!(
            read("https://API.example:443").unwrap(),
            "https://api.example"
        );
        assert_eq!(
            read("http://127.0.0.1:4000/").unwrap(),
            "http://127.0.0.1:4000"
        );
        assert_eq!(read("http://[::1]:4000").unwrap(), "http://[::1]:4000");
        assert_eq!(read("http://localhost:1").unwrap(), "http://localhost:1");
        for wrong in [
            "api.harmont.dev",
            "http://api.harmont.dev",
            "https://api.harmont.dev/api/v0",
            "https://user@api.harmont.dev",
            "ftp://127.0.0.1",
            "",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_dashboard_is_beside_the_interface() {
        let dashboard = |text| Origin::read(text, "x").unwrap().dashboard().0;
        assert_eq!(
            dashboard("https://api.harmont.dev"),
            "https://app.harmont.dev"
        );
        assert_eq!(dashboard("http://127.0.0.1:4000"), "http://127.0.0.1:4000");
    }
}

//! Credentials that the host attaches, and a component never holds.

use std::fmt;

use http::{HeaderName, HeaderValue};

use super::pattern::Pattern;
use super::target::{Scheme, Target};

/// A header that the host adds to the requests of one pattern, after the policy check, over
/// TLS or to this machine itself.
#[derive(Clone)]
pub struct Credential {
    pattern: Pattern,
    header: HeaderName,
    value: HeaderValue,
}

impl Credential {
    /// Ties a header to the requests that `pattern` covers.
    ///
    /// # Errors
    /// The header's name or value is none, or the name is one that belongs to the
    /// connection.
    pub fn new(pattern: Pattern, header: &str, value: &str) -> Result<Self, String> {
        let header: HeaderName = header
            .parse()
            .map_err(|_| format!("`{}` is no name of a header", header.escape_debug()))?;
        if super::headers::is_of_connection(&header) {
            return Err(format!("the header `{header}` belongs to the connection"));
        }
        let mut value: HeaderValue = value.parse().map_err(|_| {
            format!("the value for `{header}` holds characters that a header cannot")
        })?;
        // Kept out of logs, and of what HTTP/2 remembers on the connection.
        value.set_sensitive(true);
        Ok(Self {
            pattern,
            header,
            value,
        })
    }

    /// Returns the texts that must not be shown: the value, and what stands behind its
    /// scheme (`Bearer`, `Basic`).
    pub(crate) fn hidden(&self) -> impl Iterator<Item = &str> {
        let value = self.value.to_str().unwrap_or_default();
        let bare = value.split_once(' ').map(|(_, token)| token.trim());
        [Some(value), bare].into_iter().flatten()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("pattern", &self.pattern.to_string())
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// Attaches what belongs to a request.
///
/// # Errors
/// The component set a header at this host that is the host's to set; which.
pub(super) fn attach(
    credentials: &[Credential],
    target: &Target,
    headers: &mut http::HeaderMap,
) -> Result<(), HeaderName> {
    let is_private = target.scheme == Scheme::Https || target.host.is_loopback();
    let there = || {
        credentials
            .iter()
            .filter(|credential| credential.pattern.covers_host(target))
    };
    if let Some(taken) = there().find(|credential| headers.contains_key(&credential.header)) {
        return Err(taken.header.clone());
    }
    for credential in there() {
        // The first that fits: a more special one is written before.
        if is_private
            && credential.pattern.covers(target)
            && !headers.contains_key(&credential.header)
        {
            headers.insert(credential.header.clone(), credential.value.clone());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached(url: &str, headers: &[(&str, &str)]) -> Result<Vec<String>, HeaderName> {
        let credential = |pattern: &str, value: &str| {
            Credential::new(pattern.parse().unwrap(), "Authorization", value).unwrap()
        };
        let credentials = [
            credential("https://acme.example/v1/", "Bearer A"),
            credential("http://acme.example/v1/", "Bearer B"),
            credential("http://127.0.0.1:8080/", "Bearer C"),
        ];
        let target = Target::read(&url.parse().unwrap()).unwrap();
        let mut map = http::HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        attach(&credentials, &target, &mut map)?;
        let values = map.get_all("authorization").iter();
        Ok(values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect())
    }

    #[test]
    fn a_credential_goes_only_where_it_belongs() {
        for (url, gets) in [
            ("https://acme.example/v1/x", Some("Bearer A")),
            ("https://acme.example/v2/x", None),
            ("https://evilacme.example/v1/x", None),
            ("https://acme.example:444/v1/x", None),
            // In the clear: not even where it was tied to.
            ("http://acme.example/v1/x", None),
            ("http://127.0.0.1:8080/x", Some("Bearer C")),
            ("http://127.0.0.1:8081/x", None),
        ] {
            let values = attached(url, &[]).unwrap();
            assert_eq!(values.first().map(String::as_str), gets, "{url}");
            assert!(values.len() <= 1);
        }
    }

    #[test]
    fn a_component_cannot_speak_in_its_place() {
        let own = [("Authorization", "Bearer mine")];
        assert!(attached("https://acme.example/v1/x", &own).is_err());
        assert!(attached("https://acme.example/other", &own).is_err());
        assert_eq!(
            attached("https://other.example/", &own).unwrap(),
            ["Bearer mine"]
        );
    }

    #[test]
    fn what_is_no_header_is_refused_and_nothing_is_shown() {
        let pattern: Pattern = "https://a.example/".parse().unwrap();
        for (name, value) in [("host", "x"), ("a b", "x"), ("authorization", "a\r\nb")] {
            assert!(Credential::new(pattern.clone(), name, value).is_err());
        }
        let credential = Credential::new(pattern, "authorization", "Bearer CRED").unwrap();
        assert!(!format!("{credential:?}").contains("CRED"));
        assert_eq!(
            credential.hidden().collect::<Vec<_>>(),
            ["Bearer CRED", "CRED"]
        );
    }
}

//! URLs, as far as a client needs them.

use std::fmt::Write;

/// An absolute URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) is_encrypted: bool,
    /// Host, and port where one was given.
    pub(crate) authority: String,
    /// Begins with `/`; without a query.
    pub(crate) path: String,
    /// Without the `?`.
    pub(crate) query: Option<String>,
}

impl Url {
    /// Parses an absolute `http` or `https` URL; the error is a clause.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (is_encrypted, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some((scheme, _)) => return Err(format!("the scheme `{scheme}` is not http or https")),
            None => return Err("it is not absolute, and the client has no base".into()),
        };
        // A fragment is the client's own affair and never sent.
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.is_empty() {
            return Err("it names no host".into());
        }
        if authority.contains('@') {
            return Err(
                "it holds a user name; credentials are the host's to attach, see the grant".into(),
            );
        }
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self {
            is_encrypted,
            authority: authority.to_owned(),
            path: path.to_owned(),
            query,
        })
    }

    /// Returns the URL of `reference` below this one: absolute as it is, `/…` from the
    /// root, anything else after the base's last `/`.
    pub(crate) fn join(&self, reference: &str) -> Result<Self, String> {
        if reference.contains("://") {
            return Self::parse(reference);
        }
        let reference = reference.split('#').next().unwrap_or_default();
        let (path, query) = match reference.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (reference, None),
        };
        let path = if path.starts_with('/') {
            path.to_owned()
        } else if path.is_empty() {
            self.path.clone()
        } else {
            let folder = &self.path[..=self.path.rfind('/').unwrap_or(0)];
            format!("{folder}{path}")
        };
        Ok(Self {
            path,
            query,
            ..self.clone()
        })
    }

    /// Adds a pair to the query.
    pub(crate) fn push_query(&mut self, name: &str, value: &str) {
        let query = self.query.get_or_insert_default();
        if !query.is_empty() {
            query.push('&');
        }
        encode(name, query);
        query.push('=');
        encode(value, query);
    }

    /// Returns path and query, as they stand in a request.
    pub(crate) fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// Returns the URL for messages: without its query, which may hold a token.
    pub(crate) fn shown(&self) -> String {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.path)
    }
}

/// Percent-encodes what stands for one segment of a path or one value of a query: all but
/// the unreserved characters of RFC 3986, section 2.3.
pub fn encode_segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    encode(text, &mut encoded);
    encoded
}

fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(base: &str, reference: &str) -> String {
        let url = Url::parse(base).unwrap().join(reference).unwrap();
        format!("{} {}", url.authority, url.path_and_query())
    }

    #[test]
    fn references_are_taken_below_the_base() {
        assert_eq!(
            joined("https://a.example/v1/", "jobs?x=1"),
            "a.example /v1/jobs?x=1"
        );
        assert_eq!(
            joined("https://a.example/v1", "jobs"),
            "a.example /jobs",
            "as a browser does"
        );
        assert_eq!(joined("https://a.example/v1/", "/ping"), "a.example /ping");
        assert_eq!(
            joined("http://a.example", "https://b.example:8/x#y"),
            "b.example:8 /x"
        );
    }

    #[test]
    fn what_is_no_url_says_why() {
        for (text, why) in [
            ("jobs", "not absolute"),
            ("ftp://x/", "`ftp`"),
            ("https:///x", "no host"),
            ("https://me:pw@x/", "user name"),
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_query_is_encoded_and_not_shown() {
        let mut url = Url::parse("https://a.example/logs").unwrap();
        url.push_query("token", "a+b/c");
        assert_eq!(url.path_and_query(), "/logs?token=a%2Bb%2Fc");
        assert_eq!(url.shown(), "https://a.example/logs");
        assert_eq!(encode_segment("ä b"), "%C3%A4%20b");
    }
}

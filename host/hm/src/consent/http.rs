//! The part of a grant about HTTP: as the file has it, and as the library takes it.

use std::collections::BTreeMap;

use hm_exec::{Credential, HttpGrant, HttpNetwork, Pattern, PrivateRange};
use serde::{Deserialize, Serialize};

use super::credentials::Credentials;
use crate::failure::Failure;

/// Where a component may talk to. Absent is no HTTP; an empty list is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpReach {
    /// Patterns of requests.
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    /// Addresses and ranges that are not public and may be reached all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) private: Vec<String>,
    /// Methods; none for all that can be granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) methods: Option<Vec<String>>,
    /// Names of entries in `credentials.toml`, by the pattern of requests that get them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) credentials: BTreeMap<String, String>,
}

impl HttpReach {
    /// Adds what another allows. It never widens the methods by saying nothing about them.
    pub(crate) fn add(&mut self, more: Self) {
        add(&mut self.hosts, more.hosts);
        add(&mut self.private, more.private);
        match (&mut self.methods, more.methods) {
            (Some(own), Some(more)) => add(own, more),
            (own @ None, Some(more)) if self.hosts.is_empty() => *own = Some(more),
            _ => {}
        }
        self.credentials.extend(more.credentials);
    }

    /// Returns what the library takes.
    ///
    /// # Errors
    /// Usage, with what in the grant of `digest` cannot be understood, or the credential
    /// that is not there.
    pub(crate) fn grant(
        &self,
        digest: &str,
        credentials: &Credentials,
        network: HttpNetwork,
    ) -> Result<HttpGrant, Failure> {
        let wrong = |error: String| {
            Failure::usage(format!(
                "the grant of {digest} cannot be understood: {error}"
            ))
            .hint("correct it in grants.toml, or `hm backend revoke` it and grant anew")
        };
        let pattern = |text: &String| text.parse::<Pattern>().map_err(|e| wrong(e.to_string()));
        let range = |text: &String| text.parse::<PrivateRange>().map_err(&wrong);
        let attached = self.credentials.iter().map(|(at, name)| {
            let entry = credentials.get(name)?;
            Credential::new(pattern(at)?, &entry.header, &entry.value)
                .map_err(|error| wrong(format!("credential `{name}`: {error}")))
        });
        Ok(HttpGrant {
            patterns: self.hosts.iter().map(pattern).collect::<Result<_, _>>()?,
            private: self.private.iter().map(range).collect::<Result<_, _>>()?,
            methods: self.methods.clone(),
            credentials: attached.collect::<Result<_, _>>()?,
            network,
        })
    }
}

fn add(own: &mut Vec<String>, more: Vec<String>) {
    for text in more {
        if !own.contains(&text) {
            own.push(text);
        }
    }
}

/// Returns a pattern with what a person should know of it.
pub(crate) fn told(pattern: &str) -> String {
    match pattern.parse::<Pattern>() {
        Ok(parsed) if parsed.is_in_the_clear() => format!("{pattern}  (not encrypted)"),
        _ => pattern.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_never_widens_methods_by_silence() {
        let reach = |hosts: &[&str], methods: Option<&[&str]>| HttpReach {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            methods: methods.map(|m| m.iter().map(|m| (*m).to_owned()).collect()),
            ..HttpReach::default()
        };
        let mut own = reach(&["https://a.example/"], Some(&["GET"]));
        own.add(reach(&["https://b.example/", "https://a.example/"], None));
        assert_eq!(own.hosts, ["https://a.example/", "https://b.example/"]);
        assert_eq!(own.methods.as_deref(), Some(&["GET".to_owned()][..]));
        own.add(reach(&[], Some(&["PUT"])));
        assert_eq!(
            own.methods.as_deref(),
            Some(&["GET".to_owned(), "PUT".to_owned()][..])
        );
        // All methods and one more are all methods.
        let mut all = reach(&["https://a.example/"], None);
        all.add(reach(&[], Some(&["PUT"])));
        assert_eq!(all.methods, None);
    }
}

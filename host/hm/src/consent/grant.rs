//! A grant, and whether it covers what a run needs.

use std::fmt;
use std::path::Path;

use hm_plugin_protocol::Network;
use serde::{Deserialize, Serialize};

use super::HttpReach;

/// What a user allowed to a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    /// Shown only.
    #[serde(default)]
    pub(crate) name: String,
    /// Canonical roots of the repositories in which it holds; `*` alone for all. A hash says
    /// what may act, not on whose behalf: a hostile repository could aim a component that
    /// is trusted for work.
    #[serde(default)]
    pub(crate) repos: Vec<String>,
    /// Interfaces, by their names.
    #[serde(default)]
    pub(crate) allow: Vec<String>,
    /// Of the settings that the repository chose when this was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<String>,
    /// Names of secrets whose values the component is handed; of all others it sees the
    /// name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets: Vec<String>,
    /// How far machines may reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vm: Option<VmReach>,
    /// Where the component may talk to; none is no HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<HttpReach>,
}

/// How far the machines of a component may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VmReach {
    /// The widest network.
    pub(crate) network: Network,
}

/// What a run needs of a grant.
#[derive(Debug, Clone)]
pub(crate) struct Need<'a> {
    /// `sha256:` and 64 hex digits.
    pub(crate) digest: &'a str,
    /// Canonical root of the repository.
    pub(crate) root: &'a Path,
    /// Names of the interfaces that the component imports and that need a grant.
    pub(crate) interfaces: Vec<&'static str>,
    /// The widest network that some machine of the run would have.
    pub(crate) network: Network,
    /// Of the settings that come from the repository.
    pub(crate) settings: Option<String>,
    /// Patterns that the configuration asks for; they grant nothing by themselves.
    pub(crate) http: Vec<String>,
}

/// Why a grant does not cover a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no grant for these bytes.
    Unknown,
    /// There is one, for other repositories.
    OtherRepository,
    /// It lacks an interface.
    Interface,
    /// The repository's settings for the backend are not those that were agreed to.
    Settings,
    /// The machines would reach further.
    Network,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "has no grant",
            Self::OtherRepository => "has no grant for this repository",
            Self::Interface => "asks for more than its grant allows",
            Self::Settings => "would get other settings from this repository than those that its grant was given for",
            Self::Network => "would run machines that reach further than its grant allows",
        })
    }
}

impl Grant {
    /// Returns the grant that covers exactly a need.
    pub(crate) fn of(need: &Need<'_>, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            repos: vec![need.root.to_string_lossy().into_owned()],
            allow: need
                .interfaces
                .iter()
                .filter(|name| **name != "http")
                .map(|name| (*name).to_owned())
                .collect(),
            settings: need.settings.clone(),
            secrets: Vec::new(),
            http: need.interfaces.contains(&"http").then(|| HttpReach {
                hosts: need.http.clone(),
                ..HttpReach::default()
            }),
            vm: need.interfaces.contains(&"vm").then_some(VmReach {
                network: need.network,
            }),
        }
    }

    /// Returns how far machines may reach: nowhere, unless the grant says more.
    pub(crate) fn network(&self) -> Network {
        self.vm.map_or(Network::None, |vm| vm.network)
    }

    /// Returns whether the grant holds in a repository.
    pub(crate) fn is_for(&self, root: &Path) -> bool {
        let root = root.to_string_lossy();
        self.repos.iter().any(|repo| repo == "*" || *repo == root)
    }

    /// Returns whether an interface is allowed, by its name.
    pub(crate) fn has(&self, interface: &str) -> bool {
        match interface {
            "http" => self.http.is_some(),
            other => self.allow.iter().any(|allowed| allowed == other),
        }
    }

    /// Adds what another grant for the same bytes allows.
    pub(crate) fn add(&mut self, more: Self) {
        for (own, more) in [
            (&mut self.allow, more.allow),
            (&mut self.secrets, more.secrets),
        ] {
            own.extend(
                more.into_iter()
                    .filter(|text| !own.contains(text))
                    .collect::<Vec<_>>(),
            );
        }
        self.settings = more.settings;
        self.vm = match (self.vm, more.vm) {
            (Some(own), Some(more)) if reach(own.network) > reach(more.network) => Some(own),
            (own, more) => more.or(own),
        };
        match (&mut self.http, more.http) {
            (Some(own), Some(more)) => own.add(more),
            (own, more) => *own = own.take().or(more),
        }
    }

    /// Checks a need.
    ///
    /// # Errors
    /// The first thing that is not covered.
    pub(crate) fn covers(&self, need: &Need<'_>) -> Result<(), Refusal> {
        if !self.is_for(need.root) {
            return Err(Refusal::OtherRepository);
        }
        if need.interfaces.iter().any(|wanted| !self.has(wanted)) {
            return Err(Refusal::Interface);
        }
        if need.settings.is_some() && self.settings != need.settings {
            return Err(Refusal::Settings);
        }
        if need.interfaces.contains(&"vm") && reach(need.network) > reach(self.network()) {
            return Err(Refusal::Network);
        }
        Ok(())
    }
}

/// Orders networks by how far they reach.
pub(crate) fn reach(network: Network) -> u8 {
    match network {
        Network::None => 0,
        Network::Public => 1,
        Network::Host => 2,
    }
}

/// Returns the word for a network in flags.
pub(crate) fn word(network: Network) -> &'static str {
    match network {
        Network::None => "none",
        Network::Public => "public",
        Network::Host => "host",
    }
}

/// Returns the command that grants what is needed. It holds nothing but the digest and
/// words of hm's own, as a suggestion is the one text that people paste.
pub(crate) fn command(need: &Need<'_>) -> String {
    let mut command = format!("hm backend grant {}", need.digest);
    for interface in &need.interfaces {
        match *interface {
            "http" => command += &http_flags(&need.http),
            other => command += &format!(" --{other}"),
        }
    }
    if need.interfaces.contains(&"vm") && need.network != Network::None {
        command += &format!(" --vm-network {}", word(need.network));
    }
    command
}

/// Returns the flags that grant these patterns. One that a shell would read as something
/// else is left to be written into the file.
fn http_flags(patterns: &[String]) -> String {
    let is_safe = |text: &&String| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._:/@*+=-".contains(&b))
    };
    let flag = |pattern: &String| match pattern.contains('*') {
        true => format!(" --http '{pattern}'"),
        false => format!(" --http {pattern}"),
    };
    let flags: String = patterns.iter().filter(is_safe).map(flag).collect();
    if flags.is_empty() {
        " --http none".into()
    } else {
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_covers_its_repository_interfaces_settings_and_network_only() {
        let grant = Grant {
            name: "acme".into(),
            repos: vec!["/repo".into()],
            allow: vec!["vm".into()],
            settings: Some("sha256:1".into()),
            secrets: Vec::new(),
            vm: Some(VmReach {
                network: Network::Public,
            }),
            http: None,
        };
        let need = Need {
            digest: "sha256:0",
            root: Path::new("/repo"),
            interfaces: vec!["vm"],
            network: Network::Public,
            settings: Some("sha256:1".into()),
            http: Vec::new(),
        };
        assert_eq!(grant.covers(&need), Ok(()));
        assert_eq!(
            grant.covers(&Need {
                settings: None,
                ..need.clone()
            }),
            Ok(())
        );
        assert_eq!(
            grant.covers(&Need {
                root: Path::new("/rep"),
                ..need.clone()
            }),
            Err(Refusal::OtherRepository)
        );
        assert_eq!(
            grant.covers(&Need {
                settings: Some("sha256:2".into()),
                ..need.clone()
            }),
            Err(Refusal::Settings)
        );
        assert_eq!(
            grant.covers(&Need {
                network: Network::Host,
                ..need.clone()
            }),
            Err(Refusal::Network)
        );
        let bare = Grant {
            allow: Vec::new(),
            repos: vec!["*".into()],
            ..grant
        };
        assert_eq!(bare.covers(&need), Err(Refusal::Interface));
    }

    #[test]
    fn the_command_says_exactly_what_is_needed() {
        let mut need = Need {
            digest: "sha256:0",
            root: Path::new("/"),
            interfaces: vec!["vm"],
            network: Network::None,
            settings: None,
            http: Vec::new(),
        };
        assert_eq!(command(&need), "hm backend grant sha256:0 --vm");
        need.network = Network::Host;
        assert_eq!(
            command(&need),
            "hm backend grant sha256:0 --vm --vm-network host"
        );
        need.interfaces.clear();
        assert_eq!(command(&need), "hm backend grant sha256:0");
        need.interfaces = vec!["http"];
        assert_eq!(command(&need), "hm backend grant sha256:0 --http none");
        need.http = vec![
            "https://api.acme.example/v1/".into(),
            "https://*.acme.example".into(),
            "https://[::1]/".into(),
        ];
        assert_eq!(
            command(&need),
            "hm backend grant sha256:0 --http https://api.acme.example/v1/ --http 'https://*.acme.example'"
        );
    }
}

//! How registries are reached, as values: whoever uses this library reads files and the
//! environment.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// A login to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password, or a token in its place.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// A token that the registry takes as it is.
    Bearer(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

/// Finds the login to a registry, by its host and port. It may block, and run programs. An
/// error is a sentence for the user; none is to go on without a login.
pub type Credentials = Arc<dyn Fn(&str) -> Result<Option<Credential>, String> + Send + Sync>;

/// What the user says of one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryOptions {
    /// Certificates in PEM that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// Plain HTTP.
    pub insecure: bool,
}

/// Proxies, by the kind of request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For HTTP.
    pub http: Option<String>,
    /// For HTTPS.
    pub https: Option<String>,
    /// Hosts that are reached directly, separated by commas.
    pub none: Option<String>,
}

/// Everything that is needed to speak with registries.
#[derive(Clone, Default)]
pub struct Registries {
    /// By host, with its port if it has one.
    pub options: BTreeMap<String, RegistryOptions>,
    /// Logins; none is never to log in.
    pub credentials: Option<Credentials>,
    /// Proxies.
    pub proxies: Proxies,
}

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registries")
            .field("options", &self.options)
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

impl Registries {
    /// Returns whether a registry is spoken to without TLS: where the user says so, and on
    /// this machine itself.
    pub(super) fn is_plain(&self, host: &str) -> bool {
        match self.options.get(host) {
            Some(options) => options.insecure || options.ca.is_none() && is_loopback(host),
            None => is_loopback(host),
        }
    }

    /// Returns the proxies on the way to a registry: none to this machine itself.
    pub(super) fn proxies_for(&self, host: &str) -> Proxies {
        if is_loopback(host) {
            return Proxies::default();
        }
        self.proxies.clone()
    }
}

/// Tells this machine by its usual names.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_what_the_user_names_is_plain() {
        let mut registries = Registries::default();
        let tls = RegistryOptions {
            ca: Some("/ca.pem".into()),
            insecure: false,
        };
        let insecure = RegistryOptions {
            ca: None,
            insecure: true,
        };
        registries.options.insert("127.0.0.1:5443".into(), tls);
        registries.options.insert("r.example:5000".into(), insecure);
        for plain in ["127.0.0.1:5000", "localhost", "[::1]:80", "r.example:5000"] {
            assert!(registries.is_plain(plain), "{plain}");
        }
        for tls in [
            "127.0.0.1:5443",
            "docker.io",
            "localhost.example",
            "r.example",
            "127.example",
        ] {
            assert!(!registries.is_plain(tls), "{tls}");
        }
    }
}

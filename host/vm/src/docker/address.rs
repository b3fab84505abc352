//! Where the daemon is, by the rules of Docker's own client.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::VmError;

/// The client's name for the daemon that it finds without a context.
const DEFAULT_CONTEXT: &str = "default";
/// Where a daemon of the whole system listens.
const SYSTEM_SOCKETS: [&str; 3] = [
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/podman/podman.sock",
];
/// Where one of this user listens, below the user's runtime folder.
const USER_SOCKETS: [&str; 2] = ["docker.sock", "podman/podman.sock"];

/// What finding a daemon depends on: environment variables, as the program read them.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `DOCKER_HOST`.
    pub docker_host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub docker_context: Option<String>,
    /// `DOCKER_CONFIG`, or `.docker` in the user's home.
    pub docker_config: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
    /// Whether `DOCKER_TLS_VERIFY` is set to anything.
    pub wants_tls: bool,
}

/// A daemon's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `unix://PATH` or `tcp://HOST:PORT`.
    pub(super) address: String,
    /// What named it, for people.
    pub(super) origin: String,
    /// The client's folder, for credentials.
    pub(super) config: Option<PathBuf>,
}

impl Endpoint {
    /// Finds the daemon: `DOCKER_HOST`, the context that is chosen, then the sockets where
    /// daemons listen: the system's, then those of the user's own Docker and Podman.
    ///
    /// # Errors
    /// [`VmError::Unavailable`] for a context that is not there or cannot be read, and for
    /// an address that this engine cannot use.
    pub fn find(surroundings: &Surroundings) -> Result<Self, VmError> {
        let found = |address: String, origin: String| Self {
            address,
            origin,
            config: surroundings.docker_config.clone(),
        };
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let endpoint = if let Some(host) = set(&surroundings.docker_host) {
            found(host, "DOCKER_HOST".to_owned())
        } else if let Some((name, origin)) = context(surroundings)? {
            let host = context_host(surroundings, &name, origin)?;
            found(host, format!("the Docker context `{name}`"))
        } else {
            let path = socket(surroundings);
            found(
                format!("unix://{}", path.display()),
                "no other is set".to_owned(),
            )
        };
        endpoint.check(surroundings.wants_tls)?;
        Ok(endpoint)
    }

    /// Returns the address, `unix://PATH` or `tcp://HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the socket's path, for a daemon that has one.
    pub(super) fn socket(&self) -> Option<&Path> {
        self.address.strip_prefix("unix://").map(Path::new)
    }

    /// Refuses addresses that the client of Docker understands and this engine does not.
    fn check(&self, wants_tls: bool) -> Result<(), VmError> {
        let scheme = self.address.split("://").next().unwrap_or_default();
        let (cause, remedy) = match scheme {
            "unix" => return Ok(()),
            "tcp" | "http" if !wants_tls => return Ok(()),
            "tcp" | "http" | "https" => (
                "is to be reached by TLS, which this version of hm does not do",
                "forward its socket: `ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST`, \
                 then set DOCKER_HOST=unix:///tmp/docker.sock",
            ),
            "ssh" => (
                "is to be reached by SSH, which this version of hm does not do itself",
                "forward its socket: `ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST`, \
                 then set DOCKER_HOST=unix:///tmp/docker.sock",
            ),
            _ => (
                "is no address of a daemon on Linux",
                "set DOCKER_HOST to unix://PATH or tcp://HOST:PORT",
            ),
        };
        Err(VmError::Unavailable {
            cause: format!(
                "the Docker daemon at {} ({}) {cause}",
                self.address, self.origin
            ),
            remedy: remedy.to_owned(),
        })
    }
}

/// Returns the name of the context that is chosen, and by what; none for the default one.
fn context(surroundings: &Surroundings) -> Result<Option<(String, &'static str)>, VmError> {
    let is_own = |name: &String| !name.is_empty() && name != DEFAULT_CONTEXT;
    if let Some(name) = &surroundings.docker_context {
        return Ok(is_own(name).then(|| (name.clone(), "DOCKER_CONTEXT")));
    }
    let Some(path) = surroundings
        .docker_config
        .as_ref()
        .map(|folder| folder.join("config.json"))
    else {
        return Ok(None);
    };
    let Ok(text) = fs::read(&path) else {
        // Without one, or where others may not read it, there is no context.
        return Ok(None);
    };
    let config: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| VmError::Unavailable {
            cause: format!("{} is not valid JSON: {error}", path.display()),
            remedy: "correct it, or set DOCKER_HOST".to_owned(),
        })?;
    let name = config["currentContext"].as_str().map(str::to_owned);
    Ok(name
        .filter(is_own)
        .map(|name| (name, "`currentContext` of its config.json")))
}

/// Returns the address in a context's file, which lies in a folder of the name's digest.
fn context_host(surroundings: &Surroundings, name: &str, origin: &str) -> Result<String, VmError> {
    let refused = |cause: String| VmError::Unavailable {
        cause: format!("the Docker context `{name}` (chosen by {origin}) {cause}"),
        remedy: "`docker context ls` shows those that there are; `docker context use default` \
                 goes back, or set DOCKER_HOST"
            .to_owned(),
    };
    let folder = surroundings
        .docker_config
        .as_ref()
        .ok_or_else(|| refused("cannot be found without a home folder".to_owned()))?;
    let path = folder
        .join("contexts/meta")
        .join(hex::encode(Sha256::digest(name)))
        .join("meta.json");
    let text = fs::read(&path)
        .map_err(|error| refused(format!("cannot be read: {}: {error}", path.display())))?;
    let meta: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| refused(format!("is broken: {}: {error}", path.display())))?;
    meta["Endpoints"]["docker"]["Host"]
        .as_str()
        .filter(|host| !host.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| refused("names no Docker host".to_owned()))
}

/// Returns the first socket that is there; the usual one if none is.
fn socket(surroundings: &Surroundings) -> PathBuf {
    let own = surroundings
        .runtime_dir
        .iter()
        .flat_map(|folder| USER_SOCKETS.map(|name| folder.join(name)));
    let mut all = SYSTEM_SOCKETS[..2]
        .iter()
        .map(PathBuf::from)
        .chain(own)
        .chain([PathBuf::from(SYSTEM_SOCKETS[2])]);
    all.find(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from(SYSTEM_SOCKETS[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_config(
        config: &str,
        context: Option<(&str, &str)>,
    ) -> (tempfile::TempDir, Surroundings) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), config).unwrap();
        if let Some((name, host)) = context {
            let meta = folder
                .path()
                .join("contexts/meta")
                .join(hex::encode(Sha256::digest(name)));
            fs::create_dir_all(&meta).unwrap();
            let text =
                format!(r#"{{"Name":"{name}","Endpoints":{{"docker":{{"Host":"{host}"}}}}}}"#);
            fs::write(meta.join("meta.json"), text).unwrap();
        }
        let surroundings = Surroundings {
            docker_config: Some(folder.path().to_owned()),
            ..Surroundings::default()
        };
        (folder, surroundings)
    }

    #[test]
    fn the_variable_wins_over_the_context_and_the_context_over_sockets() {
        let (_folder, mut around) = with_config(
            r#"{"currentContext":"rootless"}"#,
            Some(("rootless", "unix:///run/user/1000/docker.sock")),
        );
        let found = Endpoint::find(&around).unwrap();
        assert_eq!(found.address(), "unix:///run/user/1000/docker.sock");
        assert!(found.origin.contains("`rootless`"));
        around.docker_context = Some("default".to_owned());
        assert_ne!(Endpoint::find(&around).unwrap().address(), found.address());
        around.docker_host = Some("tcp://127.0.0.1:2375".to_owned());
        assert_eq!(
            Endpoint::find(&around).unwrap().address(),
            "tcp://127.0.0.1:2375"
        );
    }

    #[test]
    fn a_users_own_sockets_are_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("podman")).unwrap();
        fs::write(folder.path().join("podman/podman.sock"), "").unwrap();
        let around = Surroundings {
            runtime_dir: Some(folder.path().to_owned()),
            ..Surroundings::default()
        };
        let found = socket(&around);
        let is_system = SYSTEM_SOCKETS[..2]
            .iter()
            .any(|path| found == Path::new(path));
        assert!(
            is_system || found.ends_with("podman/podman.sock"),
            "{found:?}"
        );
    }

    #[test]
    fn what_cannot_be_used_is_told_with_a_remedy() {
        let (_folder, mut around) = with_config(r#"{"currentContext":"gone"}"#, None);
        let told = |around: &Surroundings| {
            let error = Endpoint::find(around).unwrap_err();
            format!("{error}; {}", error.remedy().unwrap())
        };
        assert!(told(&around).contains("`gone`"));
        for (host, word) in [
            ("ssh://box", "SSH"),
            ("https://box", "TLS"),
            ("npipe:////./pipe/x", "no address"),
        ] {
            around.docker_host = Some(host.to_owned());
            let text = told(&around);
            assert!(
                text.contains(word) && text.contains("DOCKER_HOST"),
                "{text}"
            );
        }
        let (_folder, broken) = with_config("{", None);
        assert!(told(&broken).contains("config.json is not valid JSON"));
    }
}

//! Logins to registries, where `docker login` and `podman login` put them.

use std::fs;
use std::io;
use std::path::PathBuf;

use docker_credential::{CredentialRetrievalError as Trouble, DockerCredential};
use hm_vm::image::Credential;
use serde_json::Value;

/// What Docker calls its own registry.
const DOCKER_HUB: [&str; 3] = [
    "https://index.docker.io/v1/",
    "docker.io",
    "index.docker.io",
];

/// Finds the login to a registry by its host and port. Runs credential helpers, as Docker
/// does.
///
/// # Errors
/// A sentence, if there should be a login and it cannot be had.
pub(crate) fn find(host: &str) -> Result<Option<Credential>, String> {
    for file in files() {
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                continue;
            }
            Err(error) => return Err(format!("{} cannot be read: {error}", file.display())),
        };
        let config: Value = serde_json::from_slice(&text)
            .map_err(|error| format!("{} is not valid: {error}", file.display()))?;
        if let Some(credential) = read(&text, &known_as(&config, host))? {
            return Ok(Some(credential));
        }
    }
    Ok(None)
}

fn files() -> Vec<PathBuf> {
    let folder = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let docker =
        folder("DOCKER_CONFIG").or_else(|| folder("HOME").map(|home| home.join(".docker")));
    let podman = folder("REGISTRY_AUTH_FILE")
        .or_else(|| folder("XDG_RUNTIME_DIR").map(|runtime| runtime.join("containers/auth.json")));
    let docker = docker.map(|folder| folder.join("config.json"));
    docker.into_iter().chain(podman).collect()
}

/// Returns the name under which a configuration has a registry; if it does not have it, the
/// name to ask its credential store for.
fn known_as(config: &Value, host: &str) -> String {
    let mut names: Vec<String> = if host == "docker.io" {
        DOCKER_HUB.map(str::to_owned).into()
    } else {
        vec![host.to_owned()]
    };
    for scheme in ["https", "http"] {
        for path in ["", "/", "/v1/", "/v2/"] {
            names.push(format!("{scheme}://{host}{path}"));
        }
    }
    let has = |table: &str, name: &String| {
        config
            .get(table)
            .and_then(|table| table.get(name))
            .is_some()
    };
    let found = names
        .iter()
        .find(|name| has("credHelpers", name))
        .or_else(|| names.iter().find(|name| has("auths", name)));
    found.unwrap_or(&names[0]).clone()
}

fn read(text: &[u8], name: &str) -> Result<Option<Credential>, String> {
    match docker_credential::get_credential_from_reader(text, name) {
        Ok(DockerCredential::UsernamePassword(username, password)) => {
            Ok(Some(Credential::Password { username, password }))
        }
        Ok(DockerCredential::IdentityToken(_)) => Err(
            "it is an identity token, which hm cannot use; log in with a user and a password or \
             an access token"
                .to_owned(),
        ),
        Err(Trouble::NoCredentialConfigured) => Ok(None),
        // Helpers have no other way to say that they know nothing.
        Err(Trouble::HelperFailure { stdout, stderr, .. })
            if [&stdout, &stderr]
                .iter()
                .any(|text| text.contains("credentials not found")) =>
        {
            Ok(None)
        }
        Err(Trouble::HelperFailure {
            helper,
            stdout,
            stderr,
        }) => {
            let said = if stderr.trim().is_empty() {
                stdout
            } else {
                stderr
            };
            let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
            let said: String = said.chars().take(200).collect();
            Err(format!("`{helper}` failed: {said}"))
        }
        Err(Trouble::HelperCommunicationError) => Err(
            "its credential helper (`docker-credential-…`) cannot be started; is it on PATH?"
                .to_owned(),
        ),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_found_under_the_names_that_tools_write() {
        // user:pass
        let text = br#"{"auths":{"https://index.docker.io/v1/":{"auth":"dXNlcjpwYXNz"},
            "127.0.0.1:5000":{"auth":"dXNlcjpwYXNz"},"https://r.example":{"auth":"dXNlcjpwYXNz"},
            "token.example":{"identitytoken":"x"}}}"#;
        let config: Value = serde_json::from_slice(text).unwrap();
        let found = |host| read(text, &known_as(&config, host));
        let login = Credential::Password {
            username: "user".to_owned(),
            password: "pass".to_owned(),
        };
        for host in ["docker.io", "127.0.0.1:5000", "r.example"] {
            assert_eq!(found(host), Ok(Some(login.clone())), "{host}");
        }
        assert_eq!(found("other.example"), Ok(None));
        assert!(
            found("token.example")
                .unwrap_err()
                .contains("identity token")
        );
    }
}

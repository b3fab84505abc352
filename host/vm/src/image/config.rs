//! What an image says about the commands that run in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::platform::Platform;

/// Where programs are, if an image does not say: what Docker gives such images.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The part of an image's configuration that steps see. Their folder is `/workspace` and
/// their program `sh`, whatever the image says of those.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// In order; a later one of the same name wins.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// `USER[:GROUP]`, names or numbers of the image's own; none is root.
    #[serde(default)]
    pub user: Option<String>,
}

impl ImageConfig {
    /// Returns the environment that commands start from. `HOME` is that of the user, so
    /// the machine adds it.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let mut env: BTreeMap<_, _> = [("PATH".to_owned(), PATH.to_owned())].into();
        env.extend(self.env.iter().cloned());
        env
    }
}

/// The configuration as it stands in a registry (OCI image specification, "Image
/// Configuration"); Docker's is the same as far as this goes.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Document {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) variant: Option<String>,
    #[serde(default)]
    pub(super) config: Option<Execution>,
    pub(super) rootfs: RootFs,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Execution {
    #[serde(rename = "Env", default)]
    env: Option<Vec<String>>,
    #[serde(rename = "User", default)]
    user: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct RootFs {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) diff_ids: Vec<String>,
}

impl Document {
    /// Returns what it is made for.
    pub(super) fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        }
    }

    /// Returns what steps see of it.
    pub(super) fn image_config(&self) -> ImageConfig {
        let Some(config) = &self.config else {
            return ImageConfig::default();
        };
        let entries = config.env.iter().flatten();
        ImageConfig {
            env: entries
                .filter_map(|entry| entry.split_once('='))
                .filter(|(name, _)| !name.is_empty())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            user: config.user.clone().filter(|user| !user.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_configuration_is_read() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/busybox","A=b=c","odd"],
            "User":"app","Cmd":["x"],"WorkingDir":"/srv"},"rootfs":{"type":"layers","diff_ids":["sha256:00"]}}"#;
        let document: Document = serde_json::from_str(text).unwrap();
        let config = document.image_config();
        assert_eq!(config.user.as_deref(), Some("app"));
        let env = config.environment();
        assert_eq!(env["PATH"], "/busybox");
        assert_eq!(env["A"], "b=c");
        let bare: Document =
            serde_json::from_str(r#"{"config":null,"rootfs":{"diff_ids":[]}}"#).unwrap();
        assert_eq!(bare.image_config().environment()["PATH"], PATH);
    }
}

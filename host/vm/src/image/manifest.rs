//! Manifests and indexes, as registries and archives have them.
//!
//! Docker's (version 2, schema 2) and OCI's differ in their media types alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::platform::Platform;

/// What manifests and configurations may take: they are read into memory. Registries hold
/// manifests to 4 MiB themselves.
pub(super) const SMALL: u64 = 4 << 20;

/// Media types that a registry is asked for.
pub(super) const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Refers to content by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

/// An image: configuration and layers, bottom first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// An image, or the images of several platforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Document {
    Image(Manifest),
    Index(Vec<Descriptor>),
}

impl Document {
    /// Reads either.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Any {
            schema_version: u32,
            #[serde(default)]
            media_type: String,
            config: Option<Descriptor>,
            layers: Option<Vec<Descriptor>>,
            manifests: Option<Vec<Descriptor>>,
        }
        let any: Any = serde_json::from_slice(text)
            .map_err(|error| format!("its manifest cannot be read: {error}"))?;
        if any.schema_version != 2 {
            return Err(format!(
                "its manifest has the schema {}, which registries gave up in 2017; push it again \
                 with a newer tool",
                any.schema_version
            ));
        }
        match (any.manifests, any.config, any.layers) {
            (Some(manifests), _, _) => Ok(Self::Index(manifests)),
            (None, Some(config), Some(layers)) => Ok(Self::Image(Manifest {
                schema_version: 2,
                media_type: any.media_type,
                config,
                layers,
            })),
            _ => Err("its manifest has neither layers nor other manifests".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read_and_old_ones_told() {
        let image = br#"{"schemaVersion":2,"config":{"mediaType":"a","digest":"sha256:0","size":2},"layers":[]}"#;
        assert!(matches!(Document::read(image), Ok(Document::Image(_))));
        let index =
            br#"{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"sha256:0","size":2,
            "platform":{"os":"linux","architecture":"arm","variant":"v7"}}]}"#;
        let Ok(Document::Index(manifests)) = Document::read(index) else {
            panic!("an index");
        };
        let platform = manifests[0].platform.as_ref().unwrap();
        assert_eq!(platform.to_string(), "linux/arm/v7");
        let old = Document::read(br#"{"schemaVersion":1,"name":"x"}"#).unwrap_err();
        assert!(old.contains("schema 1"), "{old}");
        assert!(Document::read(b"<html>").is_err());
    }
}

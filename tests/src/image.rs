//! Images for tests: a root file system of one static program, and what registries and
//! archives make of it.

use std::fs;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Archive, cannot};

/// Programs that the root file system has.
const APPLETS: [&str; 34] = [
    "sh", "cat", "ls", "id", "env", "echo", "chown", "chmod", "mkdir", "rm", "stat", "touch",
    "sleep", "true", "false", "pwd", "printf", "head", "find", "ln", "mv", "cp", "wc", "grep",
    "readlink", "test", "hostname", "mount", "umount", "dd", "sort", "tr", "date", "rmdir",
];

/// Returns a small root file system with a shell, or none where this machine has no static
/// busybox, which is said.
pub fn busybox(test: &str) -> Option<Archive> {
    let program = ["/bin/busybox", "/usr/bin/busybox"]
        .iter()
        .find_map(|path| fs::read(path).ok());
    let Some(program) = program else {
        cannot(test, "there is no busybox (package busybox-static)");
        return None;
    };
    let mut archive = Archive::new();
    for folder in [
        "bin/", "etc/", "home/", "root/", "tmp/", "usr/", "usr/bin/", "var/",
    ] {
        archive = archive.folder(folder);
    }
    archive = archive.file("bin/busybox", program);
    for applet in APPLETS {
        archive = archive.symlink(format!("bin/{applet}"), "busybox");
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n";
    Some(
        archive
            .mode(0o644)
            .file("etc/passwd", passwd)
            .file("etc/group", "root:x:0:\napp:x:1001:\nteam:x:2000:app\n")
            .file("etc/marker", "in the image\n")
            .mode(0o755)
            .owner(1000, 1001)
            .folder("home/app/")
            .owner(0, 0),
    )
}

/// An image as its parts.
#[derive(Debug, Clone)]
pub struct Image {
    /// The configuration, as it stands in registries.
    pub config: Vec<u8>,
    /// The layers as they are sent, bottom first.
    pub layers: Vec<Vec<u8>>,
    /// Of the layers before compression.
    pub diff_ids: Vec<String>,
}

impl Image {
    /// Makes an image of plain layers, bottom first. `config` is what commands see: `Env`,
    /// `User`.
    pub fn new(layers: Vec<Vec<u8>>, config: &Value) -> Self {
        let diff_ids = layers.iter().map(|layer| digest(layer)).collect();
        Self::packed(layers, diff_ids, config)
    }

    /// Makes an image of layers that are compressed, with the digests that they claim to
    /// have before that.
    pub fn packed(layers: Vec<Vec<u8>>, diff_ids: Vec<String>, config: &Value) -> Self {
        let document = json!({
            "architecture": architecture(), "os": "linux", "config": config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        Self {
            config: document.to_string().into_bytes(),
            layers,
            diff_ids,
        }
    }

    /// Returns the manifest, as it stands in registries.
    pub fn manifest(&self) -> Vec<u8> {
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|layer| {
                json!({
                    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                    "digest": digest(layer), "size": layer.len(),
                })
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest(&self.config), "size": self.config.len(),
            },
            "layers": layers,
        });
        manifest.to_string().into_bytes()
    }

    /// Returns what `docker save` would write.
    pub fn docker_archive(&self, tags: &[&str]) -> Vec<u8> {
        let config = format!("{}.json", hex_of(&digest(&self.config)));
        let mut archive = Archive::new().mode(0o644).file(&config, &self.config);
        let mut names = Vec::new();
        for layer in &self.layers {
            let name = format!("{}/layer.tar", hex_of(&digest(layer)));
            archive = archive.file(&name, layer);
            names.push(name);
        }
        let manifest = json!([{ "Config": config, "RepoTags": tags, "Layers": names }]);
        archive.file("manifest.json", manifest.to_string()).finish()
    }

    /// Returns the files of an OCI image layout, by their paths.
    pub fn layout(&self, annotations: &Value) -> Vec<(String, Vec<u8>)> {
        let manifest = self.manifest();
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest(&manifest), "size": manifest.len(), "annotations": annotations,
            }],
        });
        let mut files = vec![
            (
                "oci-layout".to_owned(),
                br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
            ),
            ("index.json".to_owned(), index.to_string().into_bytes()),
        ];
        for blob in self.layers.iter().chain([&self.config, &manifest]) {
            files.push((
                format!("blobs/sha256/{}", hex_of(&digest(blob))),
                blob.clone(),
            ));
        }
        files
    }
}

/// Returns a digest as registries write it.
pub fn digest(content: &[u8]) -> String {
    let hex: String = Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// Returns the letters of a digest.
pub fn hex_of(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

/// Returns this machine's processor as registries call it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

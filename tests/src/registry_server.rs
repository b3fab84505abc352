//! A real registry server, the distribution's own, on loopback.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use crate::cannot;
use crate::image::{Image, digest, hex_of};

/// Time that the server gets to begin.
const BEGIN: Duration = Duration::from_secs(30);

/// How a server is set up.
#[derive(Debug, Clone, Default)]
pub struct RegistryOptions {
    /// A file of users and passwords, as `htpasswd -B` writes it.
    pub htpasswd: Option<PathBuf>,
    /// Certificate and key, in PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// A server that ends with this.
#[derive(Debug)]
pub struct RegistryServer {
    child: Child,
    folder: TempDir,
    /// `127.0.0.1:PORT`.
    pub host: String,
}

impl RegistryServer {
    /// Starts a server, or says that there is none on this machine.
    ///
    /// # Panics
    /// If it does not begin.
    pub fn start(test: &str, options: &RegistryOptions) -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        let config = folder.path().join("config.yml");
        let mut text = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  \
             filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n",
            folder.path().join("data").display()
        );
        if let Some((certificate, key)) = &options.tls {
            text += &format!(
                "  tls:\n    certificate: {}\n    key: {}\n",
                certificate.display(),
                key.display()
            );
        }
        if let Some(file) = &options.htpasswd {
            text += &format!(
                "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                file.display()
            );
        }
        fs::write(&config, text).expect("a folder of our own");
        let started = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = started else {
            cannot(
                test,
                "there is no registry server (package docker-registry)",
            );
            return None;
        };
        let log = BufReader::new(child.stderr.take().expect("it is piped"));
        let (sender, port) = mpsc::channel();
        // To the end, so that the server never waits for a reader.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("listening on 127.0.0.1:") {
                    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                    let _ = sender.send(digits);
                }
            }
        });
        let port = port.recv_timeout(BEGIN);
        let mut server = Self {
            child,
            folder,
            host: String::new(),
        };
        server.host = format!("127.0.0.1:{}", port.expect("the registry server begins"));
        Some(server)
    }

    /// Puts an image where the server finds it, under `NAME:TAG`. Returns its digest.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn put(&self, name: &str, tag: &str, image: &Image) -> String {
        for blob in image.layers.iter().chain([&image.config]) {
            self.put_blob(name, blob);
        }
        self.put_manifest(name, tag, &image.manifest())
    }

    /// Puts a blob where the server finds it.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn put_blob(&self, name: &str, blob: &[u8]) {
        let digest = digest(blob);
        self.write(&self.blob(&digest), blob);
        let link = self
            .repository(name)
            .join("_layers/sha256")
            .join(hex_of(&digest));
        self.write(&link.join("link"), digest.as_bytes());
    }

    /// Puts a manifest or an index where the server finds it. Returns its digest.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn put_manifest(&self, name: &str, tag: &str, manifest: &[u8]) -> String {
        let digest = digest(manifest);
        self.write(&self.blob(&digest), manifest);
        let manifests = self.repository(name).join("_manifests");
        let hex = hex_of(&digest);
        for link in [
            format!("revisions/sha256/{hex}"),
            format!("tags/{tag}/current"),
            format!("tags/{tag}/index/sha256/{hex}"),
        ] {
            self.write(&manifests.join(link).join("link"), digest.as_bytes());
        }
        digest
    }

    /// Returns where a blob lies, to damage it.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = hex_of(digest);
        let blobs = self.root().join("blobs/sha256").join(&hex[..2]).join(hex);
        blobs.join("data")
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("data/docker/registry/v2")
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.root().join("repositories").join(name)
    }

    fn write(&self, path: &Path, content: &[u8]) {
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("our own folder");
        fs::write(path, content).expect("our own folder");
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

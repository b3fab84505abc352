//! From a registry, by its protocol (OCI distribution specification).

mod download;
mod errors;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

use super::assemble::{Blobs, check};
use super::failure;
use super::making::Making;
use super::manifest::{ACCEPTED, Descriptor, SMALL};
use super::registries::{Credential, Registries};
use crate::backend::{Fetching, Progress};
use crate::digest;
use crate::error::VmError;

/// How long a registry may take to answer a connection, and to go on with an answer.
const CONNECT: Duration = Duration::from_secs(20);
const READ: Duration = Duration::from_secs(60);

/// One image that is being fetched.
pub(super) struct Pull {
    asked: String,
    reference: Reference,
    client: Client,
    auth: RegistryAuth,
    is_plain: bool,
    meter: Arc<Meter>,
}

/// How far it is.
struct Meter {
    image: String,
    progress: Progress,
    done: AtomicU64,
    total: AtomicU64,
}

impl Meter {
    fn report(&self) {
        let total = self.total.load(Ordering::Relaxed);
        self.progress.report(Fetching {
            image: self.image.clone(),
            done: self.done.load(Ordering::Relaxed),
            total: (total > 0).then_some(total),
        });
    }

    fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        self.report();
    }

    /// Takes back what has to be fetched again.
    fn take_back(&self, bytes: u64) {
        self.done.fetch_sub(bytes, Ordering::Relaxed);
        self.report();
    }
}

impl Pull {
    /// Gets ready: finds the login, reads certificates. Nothing is sent yet.
    pub(super) async fn start(
        asked: &str,
        reference: &Reference,
        registries: &Registries,
        progress: &Progress,
    ) -> Result<Self, VmError> {
        let host = reference.registry().to_owned();
        let is_plain = registries.is_plain(&host);
        let client = client(asked, &host, registries, is_plain)?;
        let auth = login(asked, &host, registries).await?;
        let meter = Arc::new(Meter {
            image: asked.to_owned(),
            progress: progress.clone(),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
        });
        meter.report();
        Ok(Self {
            asked: asked.to_owned(),
            reference: reference.clone(),
            client,
            auth,
            is_plain,
            meter,
        })
    }

    /// Returns what the name stands for: a manifest or an index, and its digest.
    pub(super) async fn root(&self) -> Result<(Vec<u8>, String), VmError> {
        let (text, digest) = self.raw_manifest(&self.reference).await?;
        // By content, so that a registry that names its manifests oddly is none the less
        // compared with others.
        let own = digest::of(&text);
        Ok((
            text,
            if digest.starts_with("sha256:") {
                digest
            } else {
                own
            },
        ))
    }

    async fn raw_manifest(&self, reference: &Reference) -> Result<(Vec<u8>, String), VmError> {
        let pulled = self
            .client
            .pull_manifest_raw(reference, &self.auth, &ACCEPTED)
            .await;
        let (text, digest) = pulled.map_err(|error| self.failed(error))?;
        if text.len() as u64 > SMALL {
            return Err(failure::refused(
                &self.asked,
                format!(
                    "its manifest has {} bytes, at most {SMALL} are read",
                    text.len()
                ),
            ));
        }
        Ok((text.to_vec(), digest))
    }

    fn failed(&self, error: OciDistributionError) -> VmError {
        errors::told(
            &self.asked,
            self.reference.registry(),
            self.is_plain,
            !matches!(self.auth, RegistryAuth::Anonymous),
            &error,
        )
    }
}

#[async_trait]
impl Blobs for Pull {
    fn image(&self) -> &str {
        &self.asked
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, VmError> {
        let reference = self.reference.clone_with_digest(descriptor.digest.clone());
        let (text, _) = self.raw_manifest(&reference).await?;
        check(&self.asked, &text, descriptor)?;
        Ok(text)
    }

    async fn small(&self, descriptor: &Descriptor) -> Result<Vec<u8>, VmError> {
        let mut stream = self
            .client
            .pull_blob_stream(&self.reference, &oci(descriptor))
            .await
            .map_err(|error| self.failed(error))?;
        let mut content = Vec::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| self.failed(error.into()))?;
            content.extend_from_slice(&piece);
            if content.len() as u64 > descriptor.size {
                break;
            }
        }
        check(&self.asked, &content, descriptor)?;
        Ok(content)
    }

    fn expect(&self, layers: &[&Descriptor]) {
        let total = layers.iter().map(|layer| layer.size).sum();
        self.meter.total.store(total, Ordering::Relaxed);
        self.meter.report();
    }

    async fn layer(&self, descriptor: &Descriptor, making: &Making) -> Result<File, VmError> {
        download::download(self, descriptor, &making.blob()).await
    }
}

/// A descriptor for the client. Other addresses that an image names for its layers are not
/// asked.
fn oci(descriptor: &Descriptor) -> OciDescriptor {
    OciDescriptor {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.clone(),
        size: i64::try_from(descriptor.size).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    }
}

fn client(
    asked: &str,
    host: &str,
    registries: &Registries,
    is_plain: bool,
) -> Result<Client, VmError> {
    // The one provider in this program, chosen here as its users may choose nothing. An
    // error says that it was chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let proxies = registries.proxies_for(host);
    let mut config = ClientConfig {
        protocol: if is_plain {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        },
        connect_timeout: Some(CONNECT),
        read_timeout: Some(READ),
        user_agent: concat!("hm/", env!("CARGO_PKG_VERSION")),
        https_proxy: proxies.https,
        http_proxy: proxies.http,
        no_proxy: proxies.none,
        ..ClientConfig::default()
    };
    if let Some(path) = registries
        .options
        .get(host)
        .and_then(|options| options.ca.as_ref())
    {
        let unreadable = |cause: String| VmError::ImageFetch {
            image: asked.to_owned(),
            cause: format!(
                "the certificates in {} cannot be used: {cause}",
                path.display()
            ),
            remedy: format!("correct `ca` of [registries.\"{host}\"] in your configuration"),
        };
        let text = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        if !text.windows(10).any(|part| part == b"-----BEGIN") {
            return Err(unreadable("it holds none in PEM".to_owned()));
        }
        config.extra_root_certificates = vec![Certificate {
            encoding: CertificateEncoding::Pem,
            data: text,
        }];
    }
    Client::try_from(config).map_err(|error| {
        failure::fetch(
            asked,
            format!(
                "the connection to {host} cannot be set up: {}",
                errors::chain(&error)
            ),
            format!("check [registries.\"{host}\"] of your configuration and the proxy settings"),
        )
    })
}

async fn login(asked: &str, host: &str, registries: &Registries) -> Result<RegistryAuth, VmError> {
    let Some(credentials) = registries.credentials.clone() else {
        return Ok(RegistryAuth::Anonymous);
    };
    let of = host.to_owned();
    let found = tokio::task::spawn_blocking(move || credentials(&of))
        .await
        .map_err(|error| VmError::Other(format!("the login was cut short: {error}")))?;
    match found {
        Ok(None) => Ok(RegistryAuth::Anonymous),
        Ok(Some(Credential::Password { username, password })) => {
            Ok(RegistryAuth::Basic(username, password))
        }
        Ok(Some(Credential::Bearer(token))) => Ok(RegistryAuth::Bearer(token)),
        Err(cause) => Err(failure::fetch(
            asked,
            format!("the login to {host} cannot be read: {cause}"),
            format!("`docker login {host}` again, or take {host} out of the Docker configuration"),
        )),
    }
}

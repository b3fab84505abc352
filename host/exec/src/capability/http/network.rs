//! How requests leave this machine: resolver, proxy, roots of trust. Values of the caller;
//! nothing is taken from the environment.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;

use super::resolve::{Resolver, SystemResolver};
use super::target::Host;

/// How requests leave this machine. Clones share the roots that were read.
#[derive(Clone)]
pub struct HttpNetwork {
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) proxy: Option<HttpProxy>,
    extra_roots: Vec<CertificateDer<'static>>,
    tls: Arc<OnceCell<ClientConfig>>,
}

/// A proxy that the user configured.
#[derive(Debug, Clone)]
pub struct HttpProxy {
    pub(super) url: reqwest::Url,
    direct: Vec<String>,
}

impl HttpProxy {
    /// Sends all requests by way of `url`, but those to this machine and to hosts that are
    /// one of `direct`, or end in one that begins with a dot.
    ///
    /// # Errors
    /// It is no `http://` or `https://` URL.
    pub fn new(url: &str, direct: Vec<String>) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{}` is no proxy; write it as http://proxy.example:3128",
                url.escape_debug()
            )
        };
        let url = reqwest::Url::parse(url).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong());
        }
        Ok(Self { url, direct })
    }

    /// Returns whether requests to a host go by way of the proxy.
    pub(super) fn takes(&self, host: &Host) -> bool {
        let name = host.to_string();
        let is_direct = self
            .direct
            .iter()
            .any(|own| *own == name || (own.starts_with('.') && name.ends_with(own.as_str())));
        !host.is_loopback() && !is_direct
    }
}

impl Default for HttpNetwork {
    /// The system's resolver, the system's roots, no proxy.
    fn default() -> Self {
        Self {
            resolver: Arc::new(SystemResolver),
            proxy: None,
            extra_roots: Vec::new(),
            tls: Arc::default(),
        }
    }
}

impl HttpNetwork {
    /// Asks `resolver` for the addresses of names.
    #[must_use]
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Goes by way of a proxy.
    #[must_use]
    pub fn proxy(mut self, proxy: HttpProxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Trusts a certificate's key besides the system's roots: DER of an authority.
    #[must_use]
    pub fn root(mut self, certificate: Vec<u8>) -> Self {
        self.extra_roots.push(certificate.into());
        self.tls = Arc::default();
        self
    }

    /// Returns the settings of TLS; the first call reads the system's roots.
    ///
    /// # Errors
    /// There are none, or they cannot be read.
    pub(super) async fn tls(&self) -> io::Result<ClientConfig> {
        let made = self.tls.get_or_try_init(|| async {
            let extra = self.extra_roots.clone();
            // Reads some hundred files.
            tokio::task::spawn_blocking(move || config(extra)).await?
        });
        made.await.cloned()
    }
}

fn config(extra: Vec<CertificateDer<'static>>) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    for root in extra {
        roots.add(root).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        let why = found.errors.into_iter().next();
        return Err(why.map_or_else(
            || {
                io::Error::other(
                    "this machine trusts no certificate authority; install `ca-certificates`",
                )
            },
            io::Error::other,
        ));
    }
    trusting(roots)
}

/// Returns the settings of a client that never speaks TLS: nobody is trusted, and no file read.
pub(super) fn no_tls() -> io::Result<ClientConfig> {
    trusting(RootCertStore::empty())
}

fn trusting(roots: RootCertStore) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

impl fmt::Debug for HttpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpNetwork")
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

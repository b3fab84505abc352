//! What all requests of one build share: the policy, the clients and the counters.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::request::Parts;
use tokio::sync::{OnceCell, Semaphore};
use wasmtime_wasi_http::Error;

use super::address;
use super::denial::Denial;
use super::resolve::{Judging, Only, ResolveError};
use super::target::{Host, Scheme, Target};
use super::{HttpGrant, headers, network};
use crate::component::{LimitHit, Limits};

/// HTTP, as one build sees it. Nothing of it is shared with another build or component: a
/// pooled connection was judged by this grant.
pub(crate) struct HttpSession {
    pub(super) grant: HttpGrant,
    limits: Limits,
    pub(super) held: Arc<Semaphore>,
    judging: Judging,
    direct: OnceCell<reqwest::Client>,
    /// For requests in the clear, which need no roots of trust.
    clear: OnceCell<reqwest::Client>,
    proxied: OnceCell<reqwest::Client>,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl HttpSession {
    pub(crate) fn new(grant: HttpGrant, limits: &Limits) -> Self {
        Self {
            held: Arc::new(Semaphore::new(
                limits.http_held.clamp(1, Semaphore::MAX_PERMITS),
            )),
            judging: Judging {
                resolver: grant.network.resolver.clone(),
                private: grant.private.clone().into(),
                patience: limits.http_resolve,
            },
            direct: OnceCell::new(),
            clear: OnceCell::new(),
            proxied: OnceCell::new(),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            limits: limits.clone(),
            grant,
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the texts that must not be shown.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = &str> {
        self.grant
            .credentials
            .iter()
            .flat_map(|credential| credential.hidden())
    }

    /// Judges a request before anything is looked up or connected to.
    ///
    /// # Errors
    /// What was refused.
    pub(super) fn judge(&self, parts: &Parts) -> Result<(Target, reqwest::Url), Denial> {
        let (method, uri) = (&parts.method, &parts.uri);
        let malformed = |why| Denial::malformed(method, uri, why);
        let target = Target::read(uri).map_err(malformed)?;
        headers::check(&parts.headers).map_err(malformed)?;
        let patterns = &self.grant.patterns;
        if !patterns.iter().any(|pattern| pattern.covers(&target)) {
            let is_host_known = patterns.iter().any(|pattern| pattern.covers_host(&target));
            return Err(Denial::place(method, &target, is_host_known));
        }
        if !self.grant.has_method(method) {
            return Err(Denial::method(method, &target));
        }
        // An address is not looked up, so that this is the place where it is judged.
        if let Host::Address(address) = target.host
            && let Err(closed) = address::check(address, &self.grant.private)
            && !patterns.iter().any(|pattern| pattern.opens(address))
        {
            return Err(Denial::address(method, &target, (address, closed)));
        }
        let url = target.url().map_err(malformed)?;
        Ok((target, url))
    }

    /// Returns the client for a request.
    ///
    /// # Errors
    /// TLS could not be set up, or what this machine knows of the host forbids it.
    pub(super) async fn client(&self, target: &Target) -> Result<&reqwest::Client, ClientError> {
        let proxy = self.grant.network.proxy.as_ref();
        let Some(proxy) = proxy.filter(|proxy| proxy.takes(&target.host)) else {
            let is_clear = target.scheme == Scheme::Http;
            let kept = if is_clear { &self.clear } else { &self.direct };
            let made = kept.get_or_try_init(|| async {
                let tls = match is_clear {
                    true => network::no_tls(),
                    false => self.grant.network.tls().await,
                };
                self.build(tls, |builder| builder.dns_resolver(self.judging.clone()))
            });
            return made.await;
        };
        // The proxy looks the name up. A name that leads to a closed address is refused as
        // far as this machine can tell.
        if let Host::Name(name) = &target.host
            && let Err(ResolveError::Closed(address, closed)) = self.judging.open(name).await
        {
            return Err(ClientError::Closed(address, closed));
        }
        let made = self.proxied.get_or_try_init(|| async {
            let by_way = reqwest::Proxy::all(proxy.url.clone())
                .map_err(|error| ClientError::Setup(Box::new(error)))?;
            let only = Only {
                resolver: self.grant.network.resolver.clone(),
                name: proxy.url.host_str().unwrap_or_default().to_owned(),
                patience: self.limits.http_resolve,
            };
            let tls = self.grant.network.tls().await;
            self.build(tls, |builder| builder.proxy(by_way).dns_resolver(only))
        });
        made.await
    }

    fn build(
        &self,
        tls: io::Result<rustls::ClientConfig>,
        route: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<reqwest::Client, ClientError> {
        let tls = tls.map_err(|error| ClientError::Setup(Box::new(error)))?;
        let limits = &self.limits;
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            // Nothing of the environment, whatever is configured below.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(limits.http_connect)
            .http1_max_headers(limits.http_header_lines)
            .http2_max_header_list_size(u32::try_from(limits.http_header_bytes).unwrap_or(u32::MAX))
            .pool_max_idle_per_host(limits.http_held);
        route(builder)
            .build()
            .map_err(|error| ClientError::Setup(Box::new(error)))
    }

    /// Counts a request.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn count_request(&self) -> Result<(), LimitHit> {
        if self.requests.fetch_add(1, Ordering::Relaxed) < self.limits.http_requests {
            Ok(())
        } else {
            Err(LimitHit::of("http-requests", &self.limits))
        }
    }

    /// Counts bytes of any body.
    ///
    /// # Errors
    /// They are too many.
    pub(super) fn count_bytes(&self, bytes: u64) -> Result<(), LimitHit> {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.limits.http_bytes {
            Ok(())
        } else {
            Err(LimitHit::of("http-bodies", &self.limits))
        }
    }
}

/// Why there is no client for a request.
#[derive(Debug)]
pub(super) enum ClientError {
    /// TLS, or the proxy, could not be set up.
    Setup(Box<dyn std::error::Error + Send + Sync>),
    /// The name leads to a closed address.
    Closed(IpAddr, address::Closed),
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Setup(_) => Self::ConfigurationError,
            ClientError::Closed(..) => Self::DestinationIpProhibited,
        }
    }
}

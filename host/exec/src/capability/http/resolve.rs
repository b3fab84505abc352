//! Names to addresses: looked up by the host, once a connection, and judged before any of
//! them is connected to.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::PrivateRange;
use super::address::{self, Closed};
use super::limits::ADDRESSES_MAX;
use super::target::is_localhost;

/// Looks up names.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// Returns all addresses of a name, in the order in which they should be tried.
    ///
    /// # Errors
    /// There is no such name, or nobody who knows.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Asks as every other program on this machine does.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Why a name leads nowhere.
#[derive(Debug)]
pub(super) enum ResolveError {
    /// Not in time.
    TimedOut,
    /// There is no such name.
    Unknown(io::Error),
    /// All of its addresses are closed; the first.
    Closed(IpAddr, Closed),
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("the name was not looked up in time"),
            Self::Unknown(_) => f.write_str("the name is not known"),
            Self::Closed(address, closed) => write!(f, "it resolves to {address}, {closed}"),
        }
    }
}

impl std::error::Error for ResolveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unknown(error) => Some(error),
            _ => None,
        }
    }
}

/// Looks up names and keeps the addresses that are open. The client connects to what this
/// returns and looks nothing up itself.
#[derive(Clone)]
pub(super) struct Judging {
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) private: Arc<[PrivateRange]>,
    pub(super) patience: Duration,
}

impl Judging {
    /// Returns the open addresses of a name.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn open(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let found = if is_localhost(name) {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        } else {
            tokio::time::timeout(self.patience, self.resolver.resolve(name))
                .await
                .map_err(|_| ResolveError::TimedOut)?
                .map_err(ResolveError::Unknown)?
        };
        let mut first = None;
        let mut open = Vec::new();
        for address in found.into_iter().take(ADDRESSES_MAX) {
            match address::check(address, &self.private) {
                Ok(()) => open.push(address),
                Err(closed) => {
                    first.get_or_insert((address, closed));
                }
            }
        }
        match first {
            _ if !open.is_empty() => Ok(open),
            Some((address, closed)) => Err(ResolveError::Closed(address, closed)),
            None => Err(ResolveError::Unknown(io::ErrorKind::NotFound.into())),
        }
    }
}

impl Resolve for Judging {
    fn resolve(&self, name: Name) -> Resolving {
        let judging = self.clone();
        Box::pin(async move {
            let open = judging.open(name.as_str()).await?;
            // The client puts the request's port in place of 0.
            let addresses = open.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// Looks up one name, the proxy's, which the user chose; it may lie anywhere.
pub(super) struct Only {
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) name: String,
    pub(super) patience: Duration,
}

impl Resolve for Only {
    fn resolve(&self, name: Name) -> Resolving {
        let is_known = name.as_str().eq_ignore_ascii_case(&self.name);
        let (resolver, patience) = (self.resolver.clone(), self.patience);
        Box::pin(async move {
            if !is_known {
                return Err(ResolveError::Unknown(io::ErrorKind::NotFound.into()).into());
            }
            let found = tokio::time::timeout(patience, resolver.resolve(name.as_str()))
                .await
                .map_err(|_| ResolveError::TimedOut)?
                .map_err(ResolveError::Unknown)?;
            let addresses = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

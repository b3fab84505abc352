//! Requests to the service, from outside the sandbox.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hm_cloud_api::{ApiError, Kind, Organization, Page, Version};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use super::{Account, Bearer, Origin};
use crate::failure::{Exit, Failure};

/// Time for a connection, and for a whole request with its answer.
const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(60);

/// Pauses before a request that changes nothing is sent again.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(800),
    Duration::from_secs(2),
];

/// Pages that are followed; more than any list has, so that a circle ends.
const MOST_PAGES: usize = 1_000;

/// Asks the service.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    origin: Origin,
    bearer: Option<Bearer>,
    version: OnceCell<Version>,
}

/// No answer that can be used came back.
#[derive(Debug)]
pub(crate) enum Gone {
    /// The service refused.
    Refused(ApiError),
    /// There was no answer, or one that is none of the service's.
    Lost(Failure),
}

impl From<Failure> for Gone {
    fn from(failure: Failure) -> Self {
        Self::Lost(failure)
    }
}

impl From<Gone> for Failure {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Refused(error) => refusal(error),
            Gone::Lost(failure) => failure,
        }
    }
}

/// Makes a failure of what the service refused: exit 3 for a login, 4 where the service is
/// unavailable, 5 for everything else.
pub(crate) fn refusal(error: ApiError) -> Failure {
    let exit = match error.kind() {
        Kind::Unauthorized => 3,
        Kind::Unavailable if error.status != 500 => 4,
        _ => 5,
    };
    let hint = error.hint();
    let failure = Failure::new(Exit::Code(exit), error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

impl Client {
    /// A client that is logged in.
    ///
    /// # Errors
    /// Exit 3 without a token; TLS cannot be set up.
    pub(crate) fn new(account: &Account) -> Result<Self, Failure> {
        let bearer = account.bearer()?.clone();
        Self::with(account, Some(bearer))
    }

    /// A client for logins.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn anonymous(account: &Account) -> Result<Self, Failure> {
        Self::with(account, None)
    }

    /// The same client with this token.
    pub(crate) fn as_bearer(&self, bearer: Bearer) -> Self {
        Self {
            http: self.http.clone(),
            origin: self.origin.clone(),
            bearer: Some(bearer),
            version: self.version.clone(),
        }
    }

    fn with(account: &Account, bearer: Option<Bearer>) -> Result<Self, Failure> {
        let http = client(account).map_err(|error| {
            Failure::caused(Exit::Unavailable, "cannot set up secure connections", error)
        })?;
        let version = OnceCell::new();
        if let Some(known) = account.version.as_deref().and_then(Version::named) {
            // Nobody else has it yet.
            let _ = version.set(known);
        }
        Ok(Self {
            http,
            origin: account.api.clone(),
            bearer,
            version,
        })
    }

    /// Returns the service's version; asks for it once.
    ///
    /// # Errors
    /// The service does not answer, or is another.
    pub(crate) async fn version(&self) -> Result<Version, Failure> {
        self.version.get_or_try_init(|| self.probe()).await.copied()
    }

    /// Only "not found" says something about a version; anything else is an outage.
    async fn probe(&self) -> Result<Version, Failure> {
        for version in [Version::V1, Version::V0] {
            let request = || self.request(Method::GET, &version.path(&["ping"]));
            match self.ask::<serde_json::Value>(request, true).await {
                Ok(answer) if answer["status"] == "ok" => return Ok(version),
                Err(Gone::Refused(error)) if error.status == 404 => {}
                Ok(_) => break,
                Err(gone) => return Err(gone.into()),
            }
        }
        Err(Failure::new(
            Exit::Code(5),
            format!("{} is not Harmont's interface", self.origin),
        )
        .hint("check HM_API_URL and `cloud.api_url`"))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{path}", self.origin))
            .header("accept", "application/json");
        match &self.bearer {
            Some(bearer) => request.bearer_auth(bearer.expose()),
            None => request,
        }
    }

    /// Reads something; tried again where that may help.
    ///
    /// # Errors
    /// The service refused, or did not answer.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Gone> {
        self.ask(|| self.request(Method::GET, path), true).await
    }

    /// Makes something, once.
    ///
    /// # Errors
    /// The service refused, or did not answer.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Gone> {
        self.ask(|| self.request(Method::POST, path).json(body), false)
            .await
    }

    /// Changes something, once.
    ///
    /// # Errors
    /// The service refused, or did not answer.
    pub(crate) async fn put<T: DeserializeOwned>(&self, path: &str) -> Result<T, Gone> {
        self.ask(|| self.request(Method::PUT, path), false).await
    }

    /// Reads all of a list, or its first `most` entries. `key` tells entries apart.
    ///
    /// # Errors
    /// The service refused, or did not answer.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        most: usize,
        key: impl Fn(&T) -> String,
    ) -> Result<Vec<T>, Gone> {
        let (mut all, mut seen) = (Vec::new(), std::collections::HashSet::new());
        let mut cursor: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let limit = (most - all.len()).clamp(1, 100);
            let mut page = format!("{path}?limit={limit}");
            if let Some(cursor) = &cursor {
                page += &format!("&cursor={}", hm_cloud_api::encode(cursor));
            }
            let page: Page<T> = self.get(&page).await?;
            let before = all.len();
            all.extend(
                page.data
                    .into_iter()
                    .filter(|entry| seen.insert(key(entry))),
            );
            cursor = page.next_cursor;
            // A cursor that the service did not like leads to the first page again.
            if all.len() >= most || cursor.is_none() || all.len() == before {
                break;
            }
        }
        all.truncate(most);
        Ok(all)
    }

    /// Returns all organizations of the user.
    ///
    /// # Errors
    /// The service refused, or did not answer.
    pub(crate) async fn organizations(&self) -> Result<Vec<Organization>, Failure> {
        let path = self.version().await?.path(&["organizations"]);
        let all = self.list(&path, usize::MAX, |org: &Organization| org.slug.clone());
        Ok(all.await?)
    }

    /// Opens a stream of a job's log, from after chunk `last`.
    ///
    /// # Errors
    /// The service refused, or did not answer.
    pub(crate) async fn log(&self, path: &str, token: &str, last: u64) -> Result<Response, Gone> {
        let request = self
            .http
            .get(format!(
                "{}{path}?token={}",
                self.origin,
                hm_cloud_api::encode(token)
            ))
            .header("accept", "text/event-stream")
            .header("last-event-id", last.to_string());
        let sent = request.send().await.map_err(|error| self.lost(error))?;
        if sent.status().is_success() {
            return Ok(sent);
        }
        Err(Gone::Refused(read_error(sent).await))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: impl Fn() -> RequestBuilder,
        is_repeatable: bool,
    ) -> Result<T, Gone> {
        let mut pauses = PAUSES.iter();
        loop {
            let done = self.once(request().timeout(WHOLE)).await;
            let may_help = match &done {
                Ok(_) => false,
                Err(Gone::Refused(error)) => error.kind() == Kind::Unavailable,
                Err(Gone::Lost(_)) => true,
            };
            match pauses.next() {
                Some(pause) if may_help && is_repeatable => tokio::time::sleep(*pause).await,
                _ => return done,
            }
        }
    }

    async fn once<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Gone> {
        let answer = request.send().await.map_err(|error| self.lost(error))?;
        if !answer.status().is_success() {
            return Err(Gone::Refused(read_error(answer).await));
        }
        let bytes = answer.bytes().await.map_err(|error| self.lost(error))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let message = format!("{} answered with something else than expected", self.origin);
            Gone::Lost(Failure::caused(Exit::Code(5), message, error))
        })
    }

    fn lost(&self, error: reqwest::Error) -> Failure {
        let what = if error.is_timeout() {
            format!("{} did not answer in time", self.origin)
        } else if error.is_connect() {
            format!("cannot connect to {}", self.origin)
        } else {
            format!("the connection to {} broke off", self.origin)
        };
        // The address is said already, and may hold a token.
        Failure::caused(Exit::Unavailable, what, Causes::of(error.without_url()))
            .hint("check the network, and HM_API_URL or `cloud.api_url`; then try again")
    }
}

async fn read_error(answer: Response) -> ApiError {
    let status = answer.status().as_u16();
    let body = answer.bytes().await.unwrap_or_default();
    ApiError::read(status, &body)
}

/// What lies below the outermost sentence of a network error, which says little.
#[derive(Debug)]
struct Causes(String);

impl Causes {
    fn of(error: reqwest::Error) -> Self {
        let mut texts: Vec<String> = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !texts.iter().any(|known| known.contains(&text)) {
                texts.push(text);
            }
            cause = error.source();
        }
        if texts.is_empty() {
            texts.push(error.to_string());
        }
        Self(texts.join(": "))
    }
}

impl fmt::Display for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Causes {}

/// TLS by rustls on `ring`, with the authorities that this machine trusts.
fn client(account: &Account) -> io::Result<reqwest::Client> {
    let mut roots = rustls::RootCertStore::empty();
    // Some hundred files, which nothing in the clear needs: redirects are not followed.
    if account.api.is_https() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut builder = reqwest::Client::builder().no_proxy();
    if let Some((proxy, direct)) = &account.proxy
        && !account.api.is_loopback()
    {
        let direct = reqwest::NoProxy::from_string(&direct.join(","));
        let proxy = reqwest::Proxy::all(proxy).map_err(io::Error::other)?;
        builder = builder.proxy(proxy.no_proxy(direct));
    }
    builder
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .user_agent(concat!("hm/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(io::Error::other)
}

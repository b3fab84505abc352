//! Requests to the service: what is tried again, and what a failure means.

use std::time::Duration;

use hm_backend_sdk::clock::{self, Backoff, Instant};
use hm_backend_sdk::http::{Client, Error, Failure, Request, Response, Retry};
use hm_backend_sdk::{BackendError, Rejection};
use hm_cloud_api::{ApiError, Build, Job, JobList, Kind, Version, http_date};
use serde::de::DeserializeOwned;

use crate::settings::Settings;

/// For an answer, and between two pieces of it. A log stream gives a sign of life every 15 s.
const ANSWER: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(45);

/// How long something is tried while nothing runs yet: a service that restarts is back by
/// then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long the first answer of all is waited for: who names a wrong place reads so soon.
const FIRST: Duration = Duration::from_secs(10);

/// Bytes of an answer: a list of ten thousand jobs with long commands.
const MOST_ANSWER: usize = 64 << 20;

/// No answer that can be used.
#[derive(Debug)]
pub(crate) enum Gone {
    /// The service refused.
    Refused(ApiError),
    /// There was no answer, or none of the service's.
    Lost(Error),
}

impl From<Error> for Gone {
    fn from(error: Error) -> Self {
        Self::Lost(error)
    }
}

impl Gone {
    /// Returns true if the same request may go better later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Refused(error) => error.kind() == Kind::Unavailable,
            Self::Lost(error) => !matches!(
                error.failure(),
                Failure::Denied
                    | Failure::AddressDenied
                    | Failure::BadRequest(_)
                    | Failure::Tls(_)
                    | Failure::TooLong(_)
            ),
        }
    }

    /// Returns true if the service cannot have seen the request.
    pub(crate) fn is_before_sending(&self) -> bool {
        matches!(
            self,
            Self::Lost(error) if matches!(error.failure(), Failure::Refused | Failure::NotFound)
        )
    }

    /// Returns true for this code of the service's.
    pub(crate) fn is(&self, code: &str) -> bool {
        matches!(self, Self::Refused(error) if error.is(code))
    }
}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Lost(error) => error.fmt(f),
        }
    }
}

impl From<Gone> for BackendError {
    fn from(gone: Gone) -> Self {
        match gone {
            // A connection that was closed has no better name at the host.
            Gone::Lost(error) if matches!(error.failure(), Failure::Other(_)) => {
                BackendError::Transport(error.to_string())
            }
            Gone::Lost(error) => error.into(),
            Gone::Refused(error) => refusal(&error),
        }
    }
}

/// Says what the service refused, and what to type next.
fn refusal(error: &ApiError) -> BackendError {
    let hint = error.hint().map(|hint| format!("; {hint}"));
    let text = format!("{error}{}", hint.unwrap_or_default());
    match error.kind() {
        Kind::Unauthorized => BackendError::Unauthorized(text),
        Kind::NotFound | Kind::NoSuchRoute => BackendError::NotFound(text),
        Kind::Unavailable => BackendError::Unavailable(text),
        Kind::TooLarge | Kind::Refused => {
            let code = error.code.clone();
            BackendError::Rejected(Rejection {
                code: code.unwrap_or_else(|| format!("status_{}", error.status)),
                message: text,
            })
        }
    }
}

/// The service, as one organization sees it.
#[derive(Debug)]
pub(crate) struct Service {
    client: Client,
    pub(crate) version: Version,
    pub(crate) org: String,
}

/// A build that exists.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) pipeline: String,
    pub(crate) number: u64,
}

impl Service {
    /// Finds out which version the service has.
    ///
    /// # Errors
    /// It does not answer, or is another service.
    pub(crate) async fn find(settings: &Settings) -> Result<Self, BackendError> {
        let client = Client::new(&settings.api)
            .timeout(ANSWER)
            .idle_timeout(SILENCE)
            .limit(MOST_ANSWER)
            .retry(Retry::never());
        let mut service = Self {
            client,
            version: Version::V1,
            org: settings.org.clone(),
        };
        if let Some(version) = settings.version()? {
            service.version = version;
            return Ok(service);
        }
        for version in [Version::V1, Version::V0] {
            service.version = version;
            let path = version.path(&["ping"]);
            let pong: Result<serde_json::Value, _> = service.get(&path, FIRST).await;
            match pong {
                Ok(pong) if pong["status"] == "ok" => return Ok(service),
                Ok(_) => break,
                // Only "there is no such path" says something about a version.
                Err(Gone::Refused(error)) if error.status == 404 => {}
                Err(gone) => return Err(gone.into()),
            }
        }
        Err(BackendError::NotFound(format!(
            "{} is not Harmont's interface; check HM_API_URL and `cloud.api_url`",
            settings.api
        )))
    }

    /// Makes a request below the origin.
    pub(crate) fn request(&self, make: impl FnOnce(&Client) -> Request) -> Request {
        make(&self.client).header("accept", "application/json")
    }

    /// Sends a request once.
    pub(crate) async fn once<T: DeserializeOwned>(&self, request: Request) -> Result<T, Gone> {
        let (found, _) = self.dated(request).await?;
        Ok(found)
    }

    async fn dated<T: DeserializeOwned>(&self, request: Request) -> Result<(T, Option<i64>), Gone> {
        let answer = self.open(request).await?;
        let date = answer.header("date").and_then(http_date);
        Ok((answer.json().await?, date))
    }

    /// Sends a request, and returns the answer's head.
    pub(crate) async fn open(&self, request: Request) -> Result<Response, Gone> {
        let answer = request.send().await?;
        if answer.is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        // The status counts, not whether its explanation arrives.
        let body = answer.bytes().await.unwrap_or_default();
        Err(Gone::Refused(ApiError::read(status, &body)))
    }

    /// Reads something, for as long as `patience` lasts.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        patience: Duration,
    ) -> Result<T, Gone> {
        let (found, _) = self.get_dated(path, patience).await?;
        Ok(found)
    }

    /// Reads something, with the time at which it was answered by the service's clock, in
    /// milliseconds since 1970, if it tells that.
    pub(crate) async fn get_dated<T: DeserializeOwned>(
        &self,
        path: &str,
        patience: Duration,
    ) -> Result<(T, Option<i64>), Gone> {
        let (began, mut pauses) = (Instant::now(), pauses());
        loop {
            let request = self.request(|client| client.get(path));
            let gone = match self.dated(request).await {
                Ok(found) => return Ok(found),
                Err(gone) => gone,
            };
            let pause = pauses.next_pause();
            if !gone.is_passing() || began.elapsed() + pause > patience {
                return Err(gone);
            }
            clock::sleep(pause).await;
        }
    }

    /// Returns the path of something below the organization.
    pub(crate) fn path(&self, rest: &[&str]) -> String {
        self.version.organization(&self.org, rest)
    }

    /// Returns the path of something below a build.
    pub(crate) fn of_build(&self, known: &Known, rest: &[&str]) -> String {
        self.version
            .build(&self.org, &known.pipeline, known.number, rest)
    }

    /// Reads a build.
    pub(crate) async fn build(&self, known: &Known, patience: Duration) -> Result<Build, Gone> {
        self.get(&self.of_build(known, &[]), patience).await
    }

    /// Reads the jobs of a build, in one try.
    pub(crate) async fn jobs(&self, known: &Known) -> Result<Vec<Job>, Gone> {
        let path = self.of_build(known, &["jobs"]);
        let list: JobList = self.once(self.request(|client| client.get(path))).await?;
        Ok(list.data)
    }
}

/// Pauses between tries.
pub(crate) fn pauses() -> Backoff {
    Backoff::new(Duration::from_millis(250), Duration::from_secs(5))
}

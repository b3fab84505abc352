//! The service: a listener on loopback, connections, and what happens to each request.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming as RequestBody;
use hyper::header::{CONTENT_LENGTH, DATE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};

use crate::answer::{self, Answer};
use crate::config::{Config, Oddities, Versions};
use crate::description::Description;
use crate::dispatch::dispatch;
use crate::error::Refused;
use crate::fault::{Action, Faults};
use crate::incoming::{Incoming, MOST_BYTES, is_json, request_id};
use crate::journal::{Exchange, Journal};
use crate::link::Link;
use crate::operation::{Operation, Route, route};
use crate::token::LogTokens;
use crate::world::{BuildAt, Pipeline, World};
use crate::{Fault, Workload};

/// What all connections share.
pub(crate) struct Service {
    world: Mutex<World>,
    log_tokens: Mutex<LogTokens>,
    faults: Mutex<Faults>,
    /// The last answer to each request for something, for stale ones.
    last: Mutex<HashMap<String, Bytes>>,
    pub(crate) oddities: Oddities,
    /// What log streams go through, if they have no way of their own.
    pub(crate) link: Option<Arc<Link>>,
    versions: Versions,
    pub(crate) workload: Arc<dyn Workload>,
    /// One for each job that may run.
    pub(crate) jobs: Arc<Semaphore>,
    description: Description,
    journal: Arc<Journal>,
    address: OnceLock<SocketAddr>,
    /// How long to be down, each time it changes.
    down: watch::Sender<Duration>,
}

/// Why a connection ends without an answer.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the script cuts this connection")
    }
}

impl std::error::Error for Cut {}

impl Service {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log_tokens(&self) -> MutexGuard<'_, LogTokens> {
        self.log_tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn origin(&self) -> String {
        let address = self.address.get();
        address.map_or_else(String::new, |address| format!("http://{address}"))
    }

    async fn answer(self: Arc<Self>, request: Request<RequestBody>) -> Result<Answer, Cut> {
        let id = request_id(request.headers());
        let mut answer = self.judge(request).await?;
        if let Ok(id) = HeaderValue::from_str(&id) {
            answer.headers_mut().insert("x-request-id", id);
        }
        if let Some(date) = self.date() {
            answer.headers_mut().insert(DATE, date);
        }
        Ok(answer)
    }

    /// Returns the time by our clock, if that is not this machine's, which hyper tells.
    fn date(&self) -> Option<HeaderValue> {
        let skew = self.oddities.skew();
        if skew.is_zero() {
            return None;
        }
        let now = Timestamp::now().checked_add(skew).ok()?;
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        HeaderValue::from_str(&date).ok()
    }

    async fn judge(self: &Arc<Self>, request: Request<RequestBody>) -> Result<Answer, Cut> {
        let (is_json, length) = (is_json(&request), length(&request));
        let (parts, body) = request.into_parts();
        let found = route(&parts.method, parts.uri.path());
        let found = found.filter(|route| route.version.is_none_or(|v| self.versions.has(v)));
        let operation = found.as_ref().map(|route| route.operation);
        let is_scripted = !matches!(operation, Some(Operation::Healthz | Operation::Dashboard));
        let action = is_scripted
            .then(|| {
                self.faults
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .next(operation)
            })
            .flatten();
        let number = |body: &[u8]| {
            let header = |name| {
                parts
                    .headers
                    .get(name)
                    .and_then(|value| value.to_str().ok())
            };
            let exchange = Exchange {
                operation,
                method: parts.method.to_string(),
                path: parts.uri.to_string(),
                body: None,
                last_event_id: header("last-event-id").map(str::to_owned),
                has_bearer: header("authorization").is_some(),
                status: None,
                is_faulty: action.is_some(),
            };
            self.journal.request(exchange, body)
        };
        match &action {
            Some(Action::Drop) => {
                number(&[]);
                return Err(Cut);
            }
            Some(Action::Hang) => {
                number(&[]);
                std::future::pending::<()>().await;
            }
            Some(Action::Restart(down)) => {
                number(&[]);
                self.down.send_replace(Duration::from_millis(*down));
                return Err(Cut);
            }
            Some(Action::Delay(_)) => {
                tokio::time::sleep(action.as_ref().and_then(Action::delay).unwrap_or_default())
                    .await;
            }
            _ => {}
        }
        // The server answers without reading what it will not take.
        if is_json && length.is_some_and(|length| length > MOST_BYTES) {
            let number = number(&[]);
            self.journal.answered(number, 413);
            return Ok(answer::fallback(StatusCode::PAYLOAD_TOO_LARGE));
        }
        let Ok(body) = Limited::new(body, 4 * MOST_BYTES).collect().await else {
            number(&[]);
            return Err(Cut);
        };
        let body = body.to_bytes();
        let number = number(&body);
        if let Some(Action::Status {
            status,
            code,
            text,
            retry_after,
        }) = &action
        {
            self.journal.answered(number, *status);
            return Ok(scripted(
                *status,
                code.as_deref(),
                text.as_deref(),
                *retry_after,
            ));
        }
        let answer = if is_json && length.is_none() && body.len() >= MOST_BYTES {
            answer::fallback(StatusCode::PAYLOAD_TOO_LARGE)
        } else {
            match (is_json && !body.is_empty()).then(|| serde_json::from_slice::<Value>(&body)) {
                Some(Err(_)) => answer::fallback(StatusCode::BAD_REQUEST),
                json => {
                    let json = json.and_then(Result::ok);
                    self.routed(found, &parts, json)
                }
            }
        };
        let answer = self.checked(operation, answer).await;
        self.journal.answered(number, answer.status().as_u16());
        self.broken(action, parts.uri.to_string(), answer).await
    }

    fn routed(
        self: &Arc<Self>,
        route: Option<Route>,
        parts: &hyper::http::request::Parts,
        body: Option<Value>,
    ) -> Answer {
        let Some(route) = route else {
            // How clients find out which versions there are.
            if !parts.uri.path().ends_with("/ping") {
                let what = format!("{} {} is not routed", parts.method, parts.uri);
                self.journal.violation(what);
            }
            return answer::fallback(StatusCode::NOT_FOUND);
        };
        let operation = route.operation;
        let incoming = Incoming::new(route, parts, body);
        let wrong = self.description.request(
            operation,
            &incoming.route.parameters,
            incoming.queries(),
            incoming.body.as_ref(),
        );
        for wrong in wrong {
            self.journal
                .violation(format!("request {}: {wrong}", operation.name()));
        }
        dispatch(self, &incoming)
    }

    /// Holds an answer of ours to the description.
    async fn checked(&self, operation: Option<Operation>, answer: Answer) -> Answer {
        let Some(operation) = operation else {
            return answer;
        };
        let status = answer.status();
        if operation == Operation::StreamJobLogs && status == StatusCode::OK {
            return answer;
        }
        let (parts, body) = answer.into_parts();
        let bytes = body
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        if let Ok(value) = serde_json::from_slice::<Value>(&bytes)
            // The framework's shape can come from anywhere.
            && value.get("errors").is_none()
        {
            for wrong in self.description.answer(operation, status.as_u16(), &value) {
                self.journal
                    .violation(format!("answer {}: {wrong}", operation.name()));
            }
        }
        let body = http_body_util::Full::new(bytes).map_err(|never| match never {});
        Answer::from_parts(parts, body.boxed_unsync())
    }

    /// Breaks a finished answer as the script says.
    async fn broken(
        &self,
        action: Option<Action>,
        path: String,
        answer: Answer,
    ) -> Result<Answer, Cut> {
        match action {
            Some(Action::LoseAnswer) => Err(Cut),
            Some(Action::Truncate(bytes)) => Ok(truncated(answer, bytes)),
            action => {
                let is_stream = answer
                    .headers()
                    .get(hyper::header::CONTENT_TYPE)
                    .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
                if is_stream || !answer.status().is_success() {
                    return Ok(answer);
                }
                let (parts, body) = answer.into_parts();
                let now = body
                    .collect()
                    .await
                    .map(|body| body.to_bytes())
                    .unwrap_or_default();
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                let before = last.insert(path, now.clone());
                let shown = match (action, before) {
                    (Some(Action::Stale), Some(before)) => before,
                    _ => now,
                };
                let body = http_body_util::Full::new(shown).map_err(|never| match never {});
                Ok(Answer::from_parts(parts, body.boxed_unsync()))
            }
        }
    }

    /// Serves connections until the process ends.
    async fn serve(self: Arc<Self>, mut listener: TcpListener) {
        let mut down = self.down.subscribe();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        tokio::spawn(self.clone().connection(stream));
                    }
                }
                changed = down.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let (address, pause) = (listener.local_addr(), *down.borrow_and_update());
                    drop(listener);
                    tokio::time::sleep(pause).await;
                    let Ok(address) = address else { return };
                    match bind(address.port()).await {
                        Ok(again) => listener = again,
                        Err(_) => return,
                    }
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let mut down = self.down.subscribe();
        // Small frames of a stream must not wait for each other.
        let _ = stream.set_nodelay(true);
        let answer = service_fn(move |request| self.clone().answer(request));
        let served = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        tokio::select! {
            // A client that hangs up is none of our troubles.
            _ = served => {}
            _ = down.changed() => {}
        }
    }
}

fn length(request: &Request<RequestBody>) -> Option<usize> {
    let length = request.headers().get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

fn scripted(
    status: u16,
    code: Option<&str>,
    text: Option<&str>,
    retry_after: Option<u64>,
) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = match (code, text) {
        (Some(code), _) => {
            let refused = Refused::scripted(status, code);
            let mut body = answer::envelope(&refused, "0123456789abcdef0123");
            *body.status_mut() = status;
            body
        }
        (None, Some(text)) => answer::text(status, text),
        (None, None) => answer::fallback(status),
    };
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    answer
}

/// Ends a body, and with it the connection, after so many bytes.
fn truncated(answer: Answer, bytes: usize) -> Answer {
    let (parts, body) = answer.into_parts();
    let frames = futures::stream::unfold((body, bytes), async |(mut body, left)| {
        let frame = match body.frame().await? {
            Ok(frame) => frame,
            Err(error) => return Some((Err(error), (body, 0))),
        };
        let data = frame.into_data().unwrap_or_default();
        if left == 0 || data.len() > left {
            // What still fits goes out first, the end at the next turn.
            return if left == 0 {
                Some((Err(io::Error::other("cut by the script")), (body, 0)))
            } else {
                let data = data.slice(..left);
                Some((Ok(hyper::body::Frame::data(data)), (body, 0)))
            };
        }
        let left = left - data.len();
        Some((Ok(hyper::body::Frame::data(data)), (body, left)))
    });
    let body = http_body_util::StreamBody::new(frames).boxed_unsync();
    Answer::from_parts(parts, body)
}

async fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// The service while it runs; it ends when this is dropped.
pub struct FakeCloud {
    service: Arc<Service>,
    journal: Arc<Journal>,
    token: String,
    runtime: Option<Runtime>,
}

impl FakeCloud {
    /// Starts the service on threads of its own.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(config: Config) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let journal = Arc::new(Journal::default());
        let balance = config.oddities.balance_cents;
        let world = World::new(
            &config.organization,
            &config.token,
            balance,
            Timestamp::now(),
        );
        let service = Arc::new(Service {
            world: Mutex::new(world),
            log_tokens: Mutex::default(),
            faults: Mutex::new(Faults::new(config.faults)),
            last: Mutex::default(),
            link: (config.oddities.log_bytes_per_second).map(|rate| Arc::new(Link::new(rate))),
            oddities: config.oddities,
            versions: config.versions,
            workload: config.workload,
            jobs: Arc::new(Semaphore::new(config.jobs)),
            description: Description::read()?,
            journal: journal.clone(),
            address: OnceLock::new(),
            down: watch::Sender::new(Duration::ZERO),
        });
        let listener = runtime
            .block_on(bind(config.port))
            .with_context(|| format!("cannot listen on 127.0.0.1:{}", config.port))?;
        // Set once, just here.
        let _ = service.address.set(listener.local_addr()?);
        runtime.spawn(service.clone().serve(listener));
        Ok(Self {
            service,
            journal,
            token: config.token,
            runtime: Some(runtime),
        })
    }

    /// Returns the origin, as `http://127.0.0.1:4000`.
    pub fn url(&self) -> String {
        self.service.origin()
    }

    /// Returns the bearer that is let in.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Returns what was asked so far.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Sets the script anew, and counts from here.
    pub fn script(&self, faults: Vec<Fault>) {
        *self
            .service
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Faults::new(faults);
    }

    /// Goes down with all connections, and comes back after `pause`.
    pub fn restart(&self, pause: Duration) {
        self.service.down.send_replace(pause);
    }

    /// Lets in no bearer but `token` from now on.
    pub fn replace_token(&self, token: &str) {
        self.service.world().tokens = vec![token.to_owned()];
    }

    /// Adds a pipeline that the service has discovered in a repository.
    pub fn discover(&self, repo_name: &str, source_slug: &str) {
        let mut world = self.service.world();
        world
            .organization
            .pipelines
            .push(Pipeline::discovered(repo_name, source_slug));
    }

    /// Forbids builds of a pipeline by hand.
    pub fn forbid_manual(&self, slug: &str) {
        let mut world = self.service.world();
        for pipeline in &mut world.organization.pipelines {
            pipeline.allow_manual &= pipeline.slug != slug;
        }
    }

    /// Returns a build as the service shows it; null if there is none.
    pub fn build(&self, pipeline: &str, number: u64) -> Value {
        let world = self.service.world();
        let pipelines = &world.organization.pipelines;
        let Some(at) = pipelines.iter().position(|known| known.slug == pipeline) else {
            return Value::Null;
        };
        let builds = &pipelines[at].builds;
        let Some(build) = builds.iter().position(|build| build.number == number) else {
            return Value::Null;
        };
        let at = BuildAt {
            pipeline: at,
            build,
        };
        crate::render::build(
            world.build(at),
            &pipelines[at.pipeline],
            &self.service.oddities,
        )
    }

    /// Returns how many builds a pipeline has.
    pub fn builds(&self, pipeline: &str) -> usize {
        let world = self.service.world();
        let mut pipelines = world.organization.pipelines.iter();
        pipelines
            .find(|known| known.slug == pipeline)
            .map_or(0, |pipeline| pipeline.builds.len())
    }

    /// Returns the jobs of a build as the service shows them.
    pub fn jobs(&self, pipeline: &str, number: u64) -> Vec<Value> {
        let world = self.service.world();
        let mut pipelines = world.organization.pipelines.iter();
        let builds = pipelines
            .find(|known| known.slug == pipeline)
            .map(|known| &known.builds);
        let mut builds = builds.into_iter().flatten();
        let Some(build) = builds.find(|build| build.number == number) else {
            return Vec::new();
        };
        let jobs = build.jobs.iter();
        jobs.map(|job| crate::render::job(job, build, &self.service.oddities))
            .collect()
    }

    /// Ends all machines, and then the service.
    pub fn stop(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.block_on(self.service.workload.close());
            runtime.shutdown_background();
        }
    }
}

impl Drop for FakeCloud {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

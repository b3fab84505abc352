//! The backend that is built in for Harmont's cloud.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use hm_vm::StateDir;

use crate::api::{BackendHandle, Capabilities, ExecutionBackend, Result, RunRequest};
use crate::capability::http::{Credential, HttpGrant, HttpNetwork, Pattern, PrivateRange};
use crate::capability::{Grants, SourceGrant};
use crate::component::{ComponentBackend, ComponentSource, Limits, LoadError, Runtime};

/// The component, built from `plugins/cloud` by this crate's build script.
static COMPONENT: &[u8] = include_bytes!(env!("HM_CLOUD_COMPONENT"));

/// HTTP requests held, and in all (decisions, "Runtime limits"): a stream a running step,
/// and a poll a second for as long as a build may take. A user's own number counts.
const HTTP_HELD: usize = 64;
const HTTP_REQUESTS: u64 = 200_000;

/// Where to submit, as whom. The token is the host's: the component never has it.
#[derive(Clone)]
pub struct CloudConfig {
    /// Origin of the interface, without a `/` at its end: `https://api.harmont.dev`.
    pub api: String,
    /// Origin of the dashboard, for links.
    pub app: String,
    /// Slug of the organization.
    pub org: String,
    /// Slug of the pipeline at the service; without, the one that belongs to the repository.
    pub pipeline: Option<String>,
    /// `v0` or `v1`, instead of asking the service.
    pub version: Option<String>,
    /// Number of a build of `pipeline` to watch, instead of submitting one. The plan of the
    /// request must be that build's.
    pub attach: Option<u64>,
    /// Bearer for the interface.
    pub token: String,
    /// How requests leave this machine.
    pub network: HttpNetwork,
    /// Addresses that the origin's name may lead to though they are not public.
    pub private: Vec<PrivateRange>,
    /// Names of secrets whose values go to the service, within the plan.
    pub secrets: BTreeSet<String>,
}

impl fmt::Debug for CloudConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudConfig")
            .field("api", &self.api)
            .field("org", &self.org)
            .field("pipeline", &self.pipeline)
            .field("attach", &self.attach)
            .finish_non_exhaustive()
    }
}

/// Why there is no backend for a configuration.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// The origin or the token cannot be used; says which and why.
    #[error("{0}")]
    Config(String),
    /// The component cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Runs builds in Harmont's cloud and watches them. A component like any other: built in
/// means that its bytes are in the binary, and that it is granted beforehand what it needs,
/// which is `source`, and `http` for one origin.
pub struct CloudBackend {
    component: ComponentBackend,
    settings: Vec<(String, String)>,
}

impl CloudBackend {
    /// Returns where the embedded component's bytes are, to inspect it like any other.
    pub fn source() -> ComponentSource {
        ComponentSource::Embedded {
            name: "cloud",
            bytes: COMPONENT,
        }
    }

    /// Loads the embedded component. Blocks while it is compiled, once a machine. The source
    /// tree is frozen in `state`.
    ///
    /// # Errors
    /// The configuration cannot be used, or the engine does not work on this machine.
    pub fn new(
        runtime: &Arc<Runtime>,
        state: StateDir,
        config: CloudConfig,
    ) -> std::result::Result<Self, CloudError> {
        let loaded = runtime.load(&Self::source())?;
        let (settings, mut grants) = Self::lend(config, runtime.limits())?;
        grants.source = Some(SourceGrant { state });
        let component = ComponentBackend::new(runtime, "cloud", &loaded, grants)?;
        Ok(Self {
            component: component.built_in(),
            settings,
        })
    }

    /// Returns what a configuration comes to at the component: its settings, and what it is
    /// granted besides the source tree; for who runs the component by itself. `own` are the
    /// user's limits.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn lend(
        config: CloudConfig,
        own: &Limits,
    ) -> std::result::Result<(Vec<(String, String)>, Grants), CloudError> {
        let (settings, http) = (settings(&config), http(&config)?);
        let grants = Grants {
            http: Some(http),
            secrets: config.secrets,
            limits: limits(own),
            ..Grants::default()
        };
        Ok((settings, grants))
    }
}

fn http(config: &CloudConfig) -> std::result::Result<HttpGrant, CloudError> {
    let pattern: Pattern = format!("{}/", config.api)
        .parse()
        .map_err(|error| CloudError::Config(format!("the cloud's origin: {error}")))?;
    let bearer = format!("Bearer {}", config.token);
    let credential = Credential::new(pattern.clone(), "authorization", &bearer)
        .map_err(|error| CloudError::Config(format!("the cloud's token: {error}")))?;
    Ok(HttpGrant {
        patterns: vec![pattern],
        methods: Some(["GET", "POST", "PUT"].map(str::to_owned).to_vec()),
        credentials: vec![credential],
        network: config.network.clone(),
        private: config.private.clone(),
    })
}

fn limits(own: &Limits) -> Limits {
    let (mut limits, default) = (own.clone(), Limits::default());
    if limits.http_held == default.http_held {
        limits.http_held = HTTP_HELD;
    }
    if limits.http_requests == default.http_requests {
        limits.http_requests = HTTP_REQUESTS;
    }
    limits
}

fn settings(config: &CloudConfig) -> Vec<(String, String)> {
    let given = [
        ("api", Some(config.api.clone())),
        ("app", Some(config.app.clone())),
        ("org", Some(config.org.clone())),
        ("pipeline", config.pipeline.clone()),
        ("version", config.version.clone()),
        ("attach", config.attach.map(|number| number.to_string())),
    ];
    let given = given.into_iter();
    given
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

#[async_trait]
impl ExecutionBackend for CloudBackend {
    fn name(&self) -> &str {
        self.component.name()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            is_observer: true,
            supports_no_watch: true,
            provides_watch_url: true,
            enforces_timeout: true,
            ..Capabilities::default()
        }
    }

    async fn start(&self, mut request: RunRequest) -> Result<BackendHandle> {
        request.settings.clone_from(&self.settings);
        self.component.start(request).await
    }
}

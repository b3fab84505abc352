//! `--backend cloud`: what the binary knows and the component does not.

use hm_cloud_api::Version;
use hm_exec::{CloudBackend, CloudConfig, CloudError};
use hm_plugin_protocol::SECRET_PREFIX;
use hm_render::clean_line;

use super::backend::{Ready, Surroundings, http_network, load_failure, runtime};
use super::{Options, Prepared, machines};
use crate::cloud::{Account, Client};
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Names of addresses of this machine, and of networks that are not public: who names such an
/// origin in their own configuration means it.
const PRIVATE: [&str; 6] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1",
    "fc00::/7",
];

/// A run in the cloud, or a look at one.
#[derive(Debug, Clone, Default)]
pub(crate) struct CloudChoice {
    /// Pipeline at the service, instead of the configured one.
    pub(crate) pipeline: Option<String>,
    /// Organization that is known already.
    pub(crate) org: Option<String>,
    /// Number of a build to watch, instead of submitting one.
    pub(crate) attach: Option<u64>,
    /// The service's version, if it was asked for it already.
    pub(crate) version: Option<Version>,
}

/// Judges what only a run in the cloud minds.
///
/// # Errors
/// Exit 6: the plan's secrets would leave this machine, and nobody allowed that.
pub(super) fn check(
    options: &Options,
    prepared: &Prepared,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let allowed = prepared.settings.cloud_secrets();
    let steps = &prepared.rendered.plan.steps;
    let wanted = steps.iter().flat_map(|step| step.env.values());
    let mut closed: Vec<_> = wanted
        .filter_map(|value| value.strip_prefix(SECRET_PREFIX))
        .filter(|name| !allowed.iter().any(|allowed| allowed == name))
        .map(|name| clean_line(name).into_owned())
        .collect();
    closed.sort();
    closed.dedup();
    if !closed.is_empty() {
        let all: Vec<_> = allowed.iter().chain(&closed).collect();
        let all: Vec<_> = all.iter().map(|name| format!("{name:?}")).collect();
        return Err(Failure::new(
            Exit::Denied,
            format!(
                "the pipeline wants secrets whose values would go to the cloud: {}",
                closed.join(", ")
            ),
        )
        .hint(format!(
            "to allow it, in your own configuration:\n[cloud]\nsecrets = [{}]",
            all.join(", ")
        )));
    }
    let has_jobs = options
        .settings
        .settings
        .iter()
        .any(|setting| setting.path == ["jobs"]);
    let idle = [
        (has_jobs, "-j"),
        (options.no_cache, "--no-cache"),
        (
            !prepared.settings.images().is_empty(),
            "--image and [images]",
        ),
    ];
    for (_, flag) in idle.iter().filter(|(is_set, _)| *is_set) {
        terminal.warn(&format!("{flag}: the service decides that by itself"));
    }
    Ok(())
}

/// Loads the backend, with the login and the organization of the user.
///
/// # Errors
/// No login (exit 3), no organization, no service, or the engine does not work here.
pub(super) fn prepare(
    choice: &CloudChoice,
    surroundings: &Surroundings<'_>,
) -> Result<Ready, Failure> {
    let Surroundings {
        folders,
        settings,
        terminal,
        ..
    } = *surroundings;
    let account = Account::find(folders, settings, terminal)?;
    let config = tokio::runtime::Handle::current().block_on(config(choice, &account, settings))?;
    let state = machines::state(folders)?;
    let runtime = runtime(folders, settings)?;
    let backend = CloudBackend::new(&runtime, state, config).map_err(cloud_failure)?;
    Ok(Ready {
        backend: Box::new(backend),
        digest: None,
        subsystem: None,
    })
}

/// Returns how the user's service is reached, and as whom.
///
/// # Errors
/// No login (exit 3), no organization, or no service.
pub(crate) async fn config(
    choice: &CloudChoice,
    account: &Account,
    settings: &Settings,
) -> Result<CloudConfig, Failure> {
    let token = account.bearer()?.expose().to_owned();
    let org = match &choice.org {
        Some(org) => org.clone(),
        None => account.organization(&Client::new(account)?).await?,
    };
    let private = if account.is_default() {
        Vec::new()
    } else {
        let ranges = PRIVATE.iter().map(|range| range.parse());
        ranges.collect::<Result<_, _>>().map_err(Failure::usage)?
    };
    Ok(CloudConfig {
        api: account.api.to_string(),
        app: account.app.to_string(),
        org,
        pipeline: choice.pipeline.clone().or(account.pipeline.clone()),
        version: (choice.version.map(|version| version.name().to_owned()))
            .or(account.version.clone()),
        attach: choice.attach,
        token,
        network: http_network(settings)?,
        private,
        secrets: settings.cloud_secrets().iter().cloned().collect(),
    })
}

/// Makes a failure of why there is no backend.
pub(crate) fn cloud_failure(error: CloudError) -> Failure {
    match error {
        CloudError::Load(error) => load_failure(error),
        CloudError::Config(why) => Failure::usage(why),
    }
}

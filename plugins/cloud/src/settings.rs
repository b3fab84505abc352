//! What the host tells the backend besides the plan.

use hm_backend_sdk::{BackendError, Rejection};
use hm_cloud_api::{Version, encode};
use serde::Deserialize;

/// Where to submit, and to whom. Set by the host, and not by `[backends]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Origin of the interface, as `https://api.harmont.dev`.
    pub(crate) api: String,
    /// Origin of the dashboard, for links.
    pub(crate) app: String,
    /// Slug of the organization.
    pub(crate) org: String,
    /// Slug of the pipeline at the service; without, the one that belongs to the repository.
    pub(crate) pipeline: Option<String>,
    /// `v0` or `v1`, instead of asking.
    pub(crate) version: Option<String>,
    /// Number of a build of `pipeline` that exists: it is watched, and nothing submitted.
    pub(crate) attach: Option<u64>,
}

impl Settings {
    /// Returns the version that somebody chose.
    pub(crate) fn version(&self) -> Result<Option<Version>, BackendError> {
        let Some(name) = &self.version else {
            return Ok(None);
        };
        let version = Version::named(name).ok_or_else(|| {
            BackendError::Rejected(Rejection {
                code: "invalid_settings".into(),
                message: format!("the service has the versions v0 and v1, not `{name}`"),
            })
        })?;
        Ok(Some(version))
    }

    /// Returns the page on which a person can watch a build.
    pub(crate) fn watch_url(&self, pipeline: &str, number: u64) -> String {
        format!(
            "{}/{}/pipelines/{}/builds/{number}",
            self.app.trim_end_matches('/'),
            encode(&self.org),
            encode(pipeline)
        )
    }
}

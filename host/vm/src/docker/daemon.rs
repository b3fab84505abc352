//! The connection to the daemon, and what it says of itself.

use std::time::Duration;

use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum};
use bollard::{API_DEFAULT_VERSION, Docker};

use super::address::Endpoint;
use super::failure::{failed, unreachable};
use crate::error::VmError;

/// The oldest interface that has all that is asked for: Docker 20.10, Podman 4.
const OLDEST: (usize, usize) = (1, 41);
/// Until the head of an answer comes, for what is quick.
const PATIENCE: Duration = Duration::from_secs(120);
/// The same for what takes as long as there is data: commits, uploads, imports.
const LONG_PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// A daemon that answered.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    pub(super) endpoint: Endpoint,
    /// For what is quick.
    pub(super) docker: Docker,
    /// For what takes as long as there is data.
    pub(super) patient: Docker,
    pub(super) facts: Facts,
}

/// What a daemon says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Of the program, as `20.10.24`.
    pub(super) version: String,
    /// Of the interface that is spoken, as `1.41`.
    pub(super) api: String,
    pub(super) system: String,
    /// `overlay2` and the like.
    pub(super) driver: String,
    pub(super) cgroup: String,
    pub(super) is_rootless: bool,
    /// Root inside is another user outside, with other ids for all files.
    pub(super) is_remapped: bool,
    pub(super) limits_memory: bool,
    pub(super) limits_cpus: bool,
    pub(super) limits_processes: bool,
}

impl Daemon {
    /// Connects, agrees on a version, and asks the daemon for what it can do.
    ///
    /// # Errors
    /// [`VmError::Unavailable`] with a remedy: nothing answers, or what answers is too old
    /// or runs no Linux containers.
    pub(super) async fn connect(endpoint: &Endpoint) -> Result<Self, VmError> {
        let unreached = |error| unreachable(endpoint, &error);
        let seconds = PATIENCE.as_secs();
        let docker = if endpoint.socket().is_some() {
            Docker::connect_with_unix(&endpoint.address, seconds, API_DEFAULT_VERSION)
        } else {
            Docker::connect_with_http(&endpoint.address, seconds, API_DEFAULT_VERSION)
        };
        let docker = docker
            .map_err(unreached)?
            .negotiate_version()
            .await
            .map_err(unreached)?;
        let version = docker.client_version();
        if (version.major_version, version.minor_version) < OLDEST {
            return Err(VmError::Unavailable {
                cause: format!(
                    "the Docker daemon at {} speaks version {version} of its interface, and {}.{} is \
                     the oldest that works",
                    endpoint.address, OLDEST.0, OLDEST.1
                ),
                remedy:
                    "update it to Docker 20.10 or Podman 4, or later; `--engine sandbox` needs \
                         neither"
                        .to_owned(),
            });
        }
        let info = docker
            .info()
            .await
            .map_err(failed(endpoint, "tell what it can do"))?;
        if info.os_type.as_deref().is_some_and(|os| os != "linux") {
            return Err(VmError::Unavailable {
                cause: format!(
                    "the Docker daemon at {} runs no Linux containers",
                    endpoint.address
                ),
                remedy: "switch it to Linux containers, or set DOCKER_HOST to another".to_owned(),
            });
        }
        let patient = docker.clone().with_timeout(LONG_PATIENCE);
        Ok(Self {
            endpoint: endpoint.clone(),
            docker,
            patient,
            facts: Facts::of(info, version.to_string()),
        })
    }

    /// As [`failed`], for this daemon.
    pub(super) fn failed(
        &self,
        action: &str,
    ) -> impl FnOnce(bollard::errors::Error) -> VmError + use<> {
        failed(&self.endpoint, action)
    }
}

impl Facts {
    fn of(info: SystemInfo, api: String) -> Self {
        let security = info.security_options.unwrap_or_default();
        let has = |name: &str| {
            security
                .iter()
                .any(|option| option.split(',').any(|part| part == format!("name={name}")))
        };
        Self {
            api,
            version: info.server_version.unwrap_or_default(),
            system: info.operating_system.unwrap_or_default(),
            driver: info.driver.unwrap_or_default(),
            cgroup: match info.cgroup_version {
                Some(SystemInfoCgroupVersionEnum::_2) => "version 2".to_owned(),
                Some(SystemInfoCgroupVersionEnum::_1) => "version 1".to_owned(),
                _ => "of unknown version".to_owned(),
            },
            is_rootless: has("rootless"),
            is_remapped: has("userns"),
            limits_memory: info.memory_limit.unwrap_or(false),
            limits_cpus: info.cpu_cfs_quota.unwrap_or(false),
            limits_processes: info.pids_limit.unwrap_or(false),
        }
    }
}

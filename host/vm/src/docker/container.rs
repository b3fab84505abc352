//! Containers: made, started, removed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptions, RemoveContainerOptionsBuilder,
    StartContainerOptions,
};

use super::daemon::Daemon;
use super::engine::Core;
use super::failure::{is_absent, status, words};
use super::labels::fresh_name;
use super::workspace::FOLDER;
use crate::backend::{MachineOptions, Network};
use crate::error::VmError;

/// The host name inside, on every engine.
const HOST_NAME: &str = "machine";
/// Commands are the first to go where the whole system runs out of memory, as in the sandbox.
const VICTIM: i64 = 500;
/// Room for shared memory, bytes: browsers and databases fail in the daemon's 64 MiB.
const SHARED_MEMORY: i64 = 1 << 30;

/// A container that is removed when this goes, with all that runs in it.
#[derive(Debug)]
pub(super) struct Container {
    name: String,
    core: Arc<Core>,
    is_gone: AtomicBool,
}

/// What a container is made of.
pub(super) struct Made<'a> {
    /// Image or commit.
    pub(super) reference: &'a str,
    pub(super) mounts: Vec<Mount>,
    /// First process, with its arguments.
    pub(super) argv: Vec<String>,
    /// It is handed something to read.
    pub(super) reads: bool,
    pub(super) folder: String,
    pub(super) options: &'a MachineOptions,
}

impl Container {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Makes a container. Must run to its end once begun.
    pub(super) async fn create(core: &Arc<Core>, made: Made<'_>) -> Result<Self, VmError> {
        let network = match made.options.network {
            Network::None => "none".to_owned(),
            Network::Host => "host".to_owned(),
            Network::Public => core.network.name(core).await?,
        };
        let reference = made.reference.to_owned();
        let body = body(core, made, network);
        Self::create_with(core, body, &reference).await
    }

    async fn create_with(
        core: &Arc<Core>,
        body: ContainerCreateBody,
        reference: &str,
    ) -> Result<Self, VmError> {
        // Before the call, so that what is made is removed whatever becomes of the answer.
        let container = Self {
            name: fresh_name(),
            core: Arc::clone(core),
            is_gone: AtomicBool::new(false),
        };
        let options = CreateContainerOptionsBuilder::new()
            .name(&container.name)
            .build();
        let made = core.daemon.docker.create_container(Some(options), body);
        made.await.map_err(|error| {
            if is_absent(&error) {
                return VmError::ImageNotFound {
                    image: reference.to_owned(),
                    engine: super::engine::NAME,
                };
            }
            core.daemon.failed("make a container")(error)
        })?;
        Ok(container)
    }

    /// Starts its first process.
    ///
    /// # Errors
    /// Tells an image without a shell from other failures.
    pub(super) async fn start(&self) -> Result<(), VmError> {
        let options = None::<StartContainerOptions>;
        let started = self.core.daemon.docker.start_container(&self.name, options);
        started.await.map_err(|error| {
            let said = words(&error);
            if said.contains("/bin/sh")
                && (said.contains("no such file") || said.contains("not found"))
            {
                return VmError::Other(
                    "the image has no /bin/sh, by which steps are run; use one that has".to_owned(),
                );
            }
            self.core.daemon.failed("start a container")(error)
        })
    }

    /// Ends all that runs in it, at once.
    pub(super) async fn kill(&self) {
        let options = None::<KillContainerOptions>;
        let killed = self.core.daemon.docker.kill_container(&self.name, options);
        // What does not run needs no killing; removing does it again.
        let _ = killed.await;
    }

    /// Removes it, and waits for that.
    pub(super) async fn remove(&self) {
        self.is_gone.store(true, Ordering::Release);
        remove(&self.core.daemon, &self.name).await;
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if !*self.is_gone.get_mut() {
            let (daemon, name) = (self.core.daemon.clone(), std::mem::take(&mut self.name));
            self.core
                .chores
                .begin(async move { remove(&daemon, &name).await });
        }
    }
}

/// Kills and removes. Tried again where the daemon is at it already.
pub(super) async fn remove(daemon: &Daemon, name: &str) {
    let mut pause = Duration::from_millis(20);
    for _ in 0..6 {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true);
        let removed = daemon
            .docker
            .remove_container(name, Some(options.build()))
            .await;
        match removed {
            Ok(()) => return,
            Err(error) if is_absent(&error) => return,
            Err(error) if matches!(status(&error), Some(409 | 500)) => {
                tracing::debug!(name, error = words(&error), "cannot remove a container yet");
            }
            Err(error) => {
                tracing::debug!(name, error = words(&error), "cannot remove a container");
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// Makes a container to reach into a volume: through the daemon's own interface, without
/// being started, or by a command for its shell.
pub(super) async fn to_look_into(
    core: &Arc<Core>,
    image: &str,
    volume: &str,
    command: &str,
) -> Result<Container, VmError> {
    let argv = ["/bin/sh", "-c", command];
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(argv.map(str::to_owned).into()),
        user: Some("0".to_owned()),
        attach_stdout: Some(true),
        labels: Some(core.labels.to_map()),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            mounts: Some(vec![mount(volume)]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    Container::create_with(core, body, image).await
}

fn mount(volume: &str) -> Mount {
    Mount {
        target: Some(FOLDER.to_owned()),
        source: Some(volume.to_owned()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            // What the image has there is not the source.
            no_copy: Some(true),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }
}

fn body(core: &Core, made: Made<'_>, network: String) -> ContainerCreateBody {
    let facts = &core.daemon.facts;
    let memory = made
        .options
        .memory_mib
        .filter(|_| facts.limits_memory)
        .map(|mib| i64::from(mib) << 20);
    let is_hosts = made.options.network == Network::Host;
    let host = HostConfig {
        memory,
        // The same: no swap beside it.
        memory_swap: memory,
        nano_cpus: made
            .options
            .cpus
            .filter(|_| facts.limits_cpus)
            .map(|cpus| i64::from(cpus) * 1_000_000_000),
        pids_limit: facts
            .limits_processes
            .then(|| i64::from(made.options.processes)),
        oom_score_adj: Some(VICTIM),
        network_mode: Some(network),
        mounts: Some(made.mounts),
        // Empty in every machine, and no part of a commit.
        tmpfs: Some(HashMap::from([(
            "/run".to_owned(),
            "rw,exec,nosuid,nodev,mode=755".to_owned(),
        )])),
        shm_size: Some(SHARED_MEMORY),
        // The output is attached to; a second copy on the daemon's disk serves nobody.
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        }),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(made.reference.to_owned()),
        // All of it in the entry point: a commit's history shows the command.
        entrypoint: Some(made.argv),
        cmd: Some(Vec::new()),
        working_dir: Some(made.folder),
        // With the host's network the host's name comes along, unless set.
        hostname: Some(HOST_NAME.to_owned()).filter(|_| !is_hosts || !facts.is_rootless),
        attach_stdin: Some(made.reads),
        open_stdin: Some(made.reads),
        stdin_once: Some(made.reads),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        labels: Some(core.labels.to_map()),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

//! Engines for the rows, and machines driven to their end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hm_vm::docker::{DockerConfig, DockerEngine, Endpoint, Surroundings};
use hm_vm::image::ImportSource;
use hm_vm::sandbox::{SandboxConfig, SandboxEngine};
use hm_vm::{
    Base, BootSpec, ExecSpec, ExecStatus, Machine, MachineOptions, Network, Snapshot, VmBackend,
};
use tempfile::TempDir;

/// The host's own file system: its shell is linked with libraries.
pub const HOST: &str = "host";
/// A root file system whose shell is the floor's, a static one.
pub const ROOTFS: &str = "hm-bench/rootfs:1";

/// What the rows share.
pub struct Stage {
    pub hm: PathBuf,
    pub tokio: tokio::runtime::Runtime,
    /// The daemon's address, if there is a daemon.
    pub docker: Result<hm_tests::Docker, String>,
    pub folder: TempDir,
}

impl Stage {
    pub fn new(hm: &Path) -> Result<Self> {
        Ok(Self {
            hm: hm.to_owned(),
            tokio: tokio::runtime::Runtime::new()?,
            docker: hm_tests::Docker::find(),
            folder: tempfile::Builder::new().prefix("hm-bench-").tempdir()?,
        })
    }

    /// Returns the daemon's address.
    pub fn docker(&self) -> Result<&hm_tests::Docker> {
        match &self.docker {
            Ok(docker) => Ok(docker),
            Err(why) => bail!("{why}; start one, or set DOCKER_HOST"),
        }
    }

    fn state(&self) -> PathBuf {
        let name = uuid::Uuid::new_v4().simple().to_string();
        self.folder.path().join(name)
    }

    /// Opens the sandbox, ready for machines of [`HOST`] and of [`ROOTFS`].
    pub fn sandbox(&self) -> Result<Arc<dyn VmBackend>> {
        let mut config = SandboxConfig::new(self.state());
        config.spawner = vec![self.hm.clone().into(), "__sandbox".into()];
        let engine = SandboxEngine::open(config)?;
        let files = self.folder.path().join("rootfs.tar");
        if !files.exists() {
            let archive = hm_tests::image::busybox("the sandbox's rows");
            let archive = archive.context("install busybox-static")?;
            std::fs::write(&files, archive.finish())?;
        }
        self.tokio.block_on(async {
            let flavour = engine.layer_flavour().await?;
            let source = ImportSource::Path(files);
            let images = engine.images();
            images.import(&source, Some(ROOTFS), flavour).await
        })?;
        Ok(Arc::new(engine))
    }

    /// Opens docker, ready for machines.
    pub fn docker_engine(&self) -> Result<Arc<dyn VmBackend>> {
        let endpoint = Endpoint::find(&Surroundings {
            docker_host: Some(self.docker()?.host().to_owned()),
            ..Surroundings::default()
        })?;
        let engine = DockerEngine::open(DockerConfig {
            state_dir: self.state(),
            endpoint,
            sends_source: false,
        })?;
        self.tokio.block_on(engine.warm())?;
        Ok(Arc::new(engine))
    }

    /// Ends an engine.
    pub fn close(&self, engine: Arc<dyn VmBackend>) {
        self.tokio.block_on(async {
            engine.settle().await;
            engine.close().await;
        });
    }
}

pub fn image(name: &str) -> BootSpec {
    BootSpec {
        base: Base::Image(name.into()),
        source: Arc::from([]),
        options: MachineOptions::default(),
    }
}

pub fn without_network(name: &str) -> BootSpec {
    let mut spec = image(name);
    spec.options.network = Network::None;
    spec
}

pub fn from(snapshot: &Arc<dyn Snapshot>) -> BootSpec {
    BootSpec {
        base: Base::Snapshot(Arc::clone(snapshot)),
        ..image("")
    }
}

/// Runs a command to its end; it must pass and print nothing.
pub async fn run(machine: &dyn Machine, command: &str, is_last: bool) -> Result<()> {
    let spec = ExecSpec {
        command: command.into(),
        env: BTreeMap::new(),
        working_dir: None,
        timeout: None,
        is_last,
    };
    let execution = machine.exec(spec).await?;
    let status = execution.status.await?;
    ensure!(
        status == ExecStatus::Exited(0),
        "`{command}` ended with {status:?}"
    );
    Ok(())
}

/// One step: boot, run, end.
pub async fn step(engine: &Arc<dyn VmBackend>, spec: BootSpec, command: &str) -> Result<Duration> {
    let begun = Instant::now();
    let machine = engine.boot(spec).await?;
    run(&*machine, command, true).await?;
    machine.destroy().await;
    Ok(begun.elapsed())
}

/// What a command leaves behind.
pub async fn after(
    engine: &Arc<dyn VmBackend>,
    spec: BootSpec,
    command: &str,
) -> Result<Arc<dyn Snapshot>> {
    let machine = engine.boot(spec).await?;
    run(&*machine, command, true).await?;
    Ok(machine.snapshot().await?)
}

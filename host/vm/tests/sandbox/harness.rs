//! An engine with a state folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hm_vm::sandbox::{SandboxConfig, SandboxEngine};
use hm_vm::{Base, BootSpec, ExecStatus, Machine, MachineOptions, Network, Snapshot, VmBackend};

pub use crate::done::*;

pub struct Bench {
    pub engine: SandboxEngine,
    pub folder: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(|_, _| {})
    }

    /// With changes to the settings; the second argument is a folder that goes with the
    /// bench.
    pub fn with(change: impl FnOnce(&mut SandboxConfig, &Path)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = settings(&folder.path().join("state"));
        change(&mut config, folder.path());
        let engine = SandboxEngine::open(config).expect("the engine opens");
        Self { engine, folder }
    }

    /// Settings as the engine was first opened with, without changes.
    pub fn config(&self) -> SandboxConfig {
        settings(&self.state())
    }

    /// Another engine on the same state folder, as another process would have.
    pub fn reopen(&mut self) {
        self.reopen_with(|_| {});
    }

    /// The same, with changes to the settings.
    pub fn reopen_with(&mut self, change: impl FnOnce(&mut SandboxConfig)) {
        let mut config = self.config();
        change(&mut config);
        self.engine = SandboxEngine::open(config).expect("the engine opens");
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// A source layer with these files under `/workspace`.
    pub fn source(&self, files: &[(&str, &str)]) -> Arc<[PathBuf]> {
        let layer = self
            .folder
            .path()
            .join(format!("source-{}", uuid::Uuid::new_v4()));
        for (name, content) in files {
            let path = layer.join("workspace").join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, content).expect("a file");
        }
        Arc::from([layer])
    }

    pub async fn boot(&self) -> Box<dyn Machine> {
        self.boot_spec(host()).await
    }

    pub async fn boot_spec(&self, spec: BootSpec) -> Box<dyn Machine> {
        self.engine
            .boot(spec)
            .await
            .unwrap_or_else(|error| panic!("no machine: {error}; {:?}", error.remedy()))
    }

    /// One command on a machine of its own.
    pub async fn run(&self, command: &str) -> Done {
        let machine = self.boot().await;
        let done = run(&*machine, command).await;
        machine.destroy().await;
        done
    }

    /// What a command leaves behind.
    pub async fn after(&self, spec: BootSpec, command: &str) -> Arc<dyn Snapshot> {
        let machine = self.boot_spec(spec).await;
        let done = run(&*machine, command).await;
        assert_eq!(done.status, ExecStatus::Exited(0), "{command}: {done:?}");
        machine.snapshot().await.expect("a snapshot")
    }
}

fn settings(state: &Path) -> SandboxConfig {
    let mut config = SandboxConfig::new(state);
    config.spawner = spawner();
    config.map_ids = maps_ids();
    config
}

/// False where all tests run once more with root inside as root outside.
pub fn maps_ids() -> bool {
    std::env::var_os("HM_TEST_PLAIN_IDS").is_none()
}

pub fn host() -> BootSpec {
    BootSpec {
        base: Base::Image("host".into()),
        source: Arc::from([]),
        options: MachineOptions::default(),
    }
}

pub fn without_network() -> BootSpec {
    let mut spec = host();
    spec.options.network = Network::None;
    spec
}

pub fn from(snapshot: &Arc<dyn Snapshot>) -> BootSpec {
    BootSpec {
        base: Base::Snapshot(Arc::clone(snapshot)),
        ..host()
    }
}

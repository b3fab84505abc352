//! An engine with a state folder of its own, and commands run to their end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hm_vm::sandbox::{SandboxConfig, SandboxEngine};
use hm_vm::{
    Base, BootSpec, ExecSpec, ExecStatus, Execution, Machine, MachineOptions, Network, Snapshot,
    VmBackend, VmError,
};
use tokio::io::AsyncReadExt;

/// Longer than anything here takes; a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(150);

pub struct Bench {
    pub engine: SandboxEngine,
    pub folder: tempfile::TempDir,
}

/// What a command did.
#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    pub status: ExecStatus,
    pub stdout: String,
    pub stderr: String,
}

pub fn spawner() -> Vec<OsString> {
    let path = std::env::var_os("HM_TEST_SPAWNER");
    vec![path.unwrap_or_else(|| env!("CARGO_BIN_EXE_hm-vm-spawner").into())]
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

pub fn command(text: &str) -> ExecSpec {
    ExecSpec {
        command: text.into(),
        env: BTreeMap::new(),
        working_dir: None,
        timeout: None,
        is_last: false,
    }
}

pub async fn run(machine: &dyn Machine, text: &str) -> Done {
    run_spec(machine, command(text))
        .await
        .expect("the command starts")
}

pub async fn run_spec(machine: &dyn Machine, spec: ExecSpec) -> Result<Done, VmError> {
    finish(machine.exec(spec).await?).await
}

pub async fn finish(execution: Execution) -> Result<Done, VmError> {
    let Execution {
        mut stdout,
        mut stderr,
        status,
    } = execution;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let all = async {
        tokio::join!(
            stdout.read_to_end(&mut out),
            stderr.read_to_end(&mut err),
            status
        )
    };
    let (read_out, read_err, status) = tokio::time::timeout(PATIENCE, all)
        .await
        .expect("the command ends");
    read_out.expect("output is read");
    read_err.expect("errors are read");
    Ok(Done {
        status: status?,
        stdout: String::from_utf8_lossy(&out).into_owned(),
        stderr: String::from_utf8_lossy(&err).into_owned(),
    })
}

/// Asserts that a command passed, and returns what it printed.
pub fn passed(done: Done) -> String {
    assert_eq!(
        (done.status, done.stderr.as_str()),
        (ExecStatus::Exited(0), ""),
        "{done:?}"
    );
    done.stdout
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

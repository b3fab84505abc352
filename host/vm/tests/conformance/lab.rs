//! An engine with a state folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hm_tests::{Docker, cannot};
use hm_vm::docker::{DockerConfig, DockerEngine, Endpoint, Surroundings};
use hm_vm::sandbox::{SandboxConfig, SandboxEngine};
use hm_vm::{Base, BootSpec, ExecSpec, ExecStatus, Machine, MachineOptions, Snapshot, VmBackend};

pub use crate::done::*;

type Open = Box<dyn Fn(&Path) -> Arc<dyn VmBackend> + Send + Sync>;

/// An engine under test.
pub struct Lab {
    pub engine: Arc<dyn VmBackend>,
    /// An image that it has, with the usual programs.
    pub image: &'static str,
    folder: tempfile::TempDir,
    open: Open,
    daemon: Option<Docker>,
}

impl Done {
    /// The exit code as the user is told it: engines that cannot tell a signal from such a
    /// code report the code.
    pub fn code(&self) -> i32 {
        match self.status {
            ExecStatus::Exited(code) => code,
            ExecStatus::Signaled(signal) => 128 + signal as i32,
            other => panic!("{other:?}: {self:?}"),
        }
    }
}

impl Lab {
    #[expect(clippy::unnecessary_wraps, reason = "engines are made alike")]
    pub fn sandbox(_: &str) -> Option<Self> {
        Some(Self::new("host", None, |state| {
            let mut config = SandboxConfig::new(state);
            config.spawner = spawner();
            Arc::new(SandboxEngine::open(config).expect("the engine opens"))
        }))
    }

    pub fn docker(test: &str) -> Option<Self> {
        Self::of_docker(test, false)
    }

    /// As with a daemon that does not see this machine's files.
    pub fn docker_elsewhere(test: &str) -> Option<Self> {
        Self::of_docker(test, true)
    }

    fn of_docker(test: &str, sends_source: bool) -> Option<Self> {
        let daemon = match Docker::find() {
            Ok(daemon) => daemon,
            Err(why) => {
                cannot(test, &why);
                return None;
            }
        };
        let host = daemon.host().to_owned();
        Some(Self::new(Docker::IMAGE, Some(daemon), move |state| {
            let endpoint = Endpoint::find(&Surroundings {
                docker_host: Some(host.clone()),
                ..Surroundings::default()
            });
            let config = DockerConfig {
                state_dir: state.to_owned(),
                endpoint: endpoint.expect("an address"),
                sends_source,
            };
            Arc::new(DockerEngine::open(config).expect("the engine opens"))
        }))
    }

    fn new(
        image: &'static str,
        daemon: Option<Docker>,
        open: impl Fn(&Path) -> Arc<dyn VmBackend> + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = folder
            .path()
            .canonicalize()
            .expect("it is there")
            .join("state");
        Self {
            engine: open(&state),
            image,
            folder,
            open: Box::new(open),
            daemon,
        }
    }

    /// Another engine on the same state folder, as another process would have.
    pub fn another(&self) -> Arc<dyn VmBackend> {
        (self.open)(&self.state())
    }

    pub fn state(&self) -> PathBuf {
        let folder = self.folder.path().canonicalize().expect("it is there");
        folder.join("state")
    }

    /// Returns what is there of this state folder's, outside of what is kept.
    pub fn things(&self) -> Vec<String> {
        let mut things: Vec<String> = ["machines", "layers/live"]
            .iter()
            .flat_map(|name| {
                std::fs::read_dir(self.state().join(name))
                    .into_iter()
                    .flatten()
            })
            .flatten()
            .map(|entry| entry.path().display().to_string())
            .collect();
        if let Some(daemon) = &self.daemon {
            things.extend(daemon.things_of(&self.state()));
        }
        things
    }

    /// Ends the engine, and checks that nothing is left.
    pub async fn close(self) {
        self.engine.settle().await;
        self.engine.close().await;
        assert_eq!(self.things(), [""; 0], "left behind");
    }

    /// A source layer with these files under `/workspace`.
    pub fn source(&self, files: &[(&str, &str)]) -> Arc<[PathBuf]> {
        let name = format!("source-{}", uuid::Uuid::new_v4());
        let layer = self.folder.path().join(name);
        std::fs::create_dir_all(layer.join("workspace")).expect("a folder");
        for (name, content) in files {
            let path = layer.join("workspace").join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, content).expect("a file");
        }
        Arc::from([layer])
    }

    pub fn spec(&self) -> BootSpec {
        BootSpec {
            base: Base::Image(self.image.into()),
            source: Arc::from([]),
            options: MachineOptions::default(),
        }
    }

    pub fn over(&self, source: Arc<[PathBuf]>) -> BootSpec {
        BootSpec {
            source,
            ..self.spec()
        }
    }

    pub fn from(&self, snapshot: &Arc<dyn Snapshot>) -> BootSpec {
        BootSpec {
            base: Base::Snapshot(Arc::clone(snapshot)),
            ..self.spec()
        }
    }

    pub async fn boot(&self) -> Box<dyn Machine> {
        self.boot_spec(self.spec()).await
    }

    pub async fn boot_spec(&self, spec: BootSpec) -> Box<dyn Machine> {
        self.engine
            .boot(spec)
            .await
            .unwrap_or_else(|error| panic!("no machine: {error}; {:?}", error.remedy()))
    }

    /// One command on a machine of its own, which then goes.
    pub async fn run(&self, spec: BootSpec, text: &str) -> Done {
        let machine = self.boot_spec(spec).await;
        let done = run_last(&*machine, text).await;
        machine.destroy().await;
        done
    }

    /// What a command leaves behind.
    pub async fn after(&self, spec: BootSpec, text: &str) -> Arc<dyn Snapshot> {
        let machine = self.boot_spec(spec).await;
        let done = run_last(&*machine, text).await;
        assert_eq!(done.status, ExecStatus::Exited(0), "{text}: {done:?}");
        machine
            .snapshot()
            .await
            .unwrap_or_else(|error| panic!("no snapshot: {error}"))
    }
}

async fn run_last(machine: &dyn Machine, text: &str) -> Done {
    let spec = ExecSpec {
        is_last: true,
        ..command(text)
    };
    run_spec(machine, spec)
        .await
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

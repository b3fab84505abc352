//! A machine, from this process's side.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use bollard::models::ContainerConfig;
use bollard::query_parameters::CommitContainerOptionsBuilder;
use tokio::sync::Mutex;

use super::command::{self, Company};
use super::container::{Container, Made};
use super::engine::Core;
use super::execution::{Kind, Running, Started, start_exec, start_first, start_server};
use super::labels::{REPOSITORY, fresh_name};
use super::layer::{self, DockerSnapshot, Foundation, Layer};
use super::output::Frames;
use super::server::Slot;
use super::source::Lowest;
use super::workspace::{FOLDER, Workspace};
use crate::backend::{ExecSpec, Execution, Machine, MachineOptions, Snapshot};
use crate::error::VmError;

/// What every container changes without a command: the folders that something is mounted on.
const MOUNTED_ON: [&str; 2] = [FOLDER, "/run"];
/// Layers that the daemon's storage drivers stack, less some for the image that comes of it.
const MOST_COMMITS: usize = 100;

/// A machine of this engine. Nothing runs before its first command.
#[derive(Debug)]
pub(super) struct DockerMachine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: String,
    core: Arc<Core>,
    options: MachineOptions,
    lowest: Lowest,
    state: Mutex<State>,
    /// Commands that run.
    running: Arc<AtomicUsize>,
}

/// What there is of a machine; whatever drops it removes it.
#[derive(Debug)]
struct State {
    core: Arc<Core>,
    container: Option<Arc<Container>>,
    /// Its first process is a command, not one that takes others.
    is_once: bool,
    /// What takes commands, while it runs none.
    server: Slot,
    /// A command was started.
    was_used: bool,
    /// The workspace, and what the image declares as volumes; none before the first command.
    trees: Vec<Workspace>,
    /// None after the machine's end.
    foundation: Option<Foundation>,
}

/// The parts of a machine, in the order in which they can be removed: what is mounted goes
/// before its volumes, and what it is made of stays until it is gone.
struct Parts {
    container: Option<Arc<Container>>,
    trees: Vec<Workspace>,
    _foundation: Option<Foundation>,
}

impl Parts {
    async fn remove(self) {
        if let Some(container) = self.container {
            container.remove().await;
        }
        for tree in self.trees {
            tree.remove().await;
        }
    }
}

impl State {
    fn take(&mut self) -> Parts {
        Parts {
            container: self.container.take(),
            trees: std::mem::take(&mut self.trees),
            _foundation: self.foundation.take(),
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let parts = self.take();
        if parts.container.is_some() || !parts.trees.is_empty() {
            self.core.chores.begin(parts.remove());
        }
    }
}

impl DockerMachine {
    pub(super) fn new(
        core: &Arc<Core>,
        options: MachineOptions,
        foundation: Foundation,
        lowest: Lowest,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                id: fresh_name(),
                core: Arc::clone(core),
                options,
                lowest,
                state: Mutex::new(State {
                    core: Arc::clone(core),
                    container: None,
                    is_once: false,
                    server: Slot::default(),
                    was_used: false,
                    trees: Vec::new(),
                    foundation: Some(foundation),
                }),
                running: Arc::default(),
            }),
        }
    }
}

impl Inner {
    fn gone(&self) -> VmError {
        VmError::Gone(self.id.clone())
    }

    async fn start(&self, spec: ExecSpec) -> Result<(Started, Frames), VmError> {
        let mut state = self.state.lock().await;
        if state.is_once && self.running.load(Ordering::Acquire) == 0 {
            // Its container has ended with its command. What that left goes on in another.
            self.freeze(&mut state).await?;
        }
        let foundation = state.foundation.clone().ok_or_else(|| self.gone())?;
        if state.trees.is_empty() {
            state.trees = self.trees(&foundation).await?;
        }
        let is_first = state.container.is_none();
        let once = is_first && spec.is_last && command::can_export(&spec.env);
        let exports = once && !spec.env.is_empty();
        let company = Company {
            came_before: state.was_used,
            is_there: self.running.load(Ordering::Acquire) > 0,
        };
        let around = command::around(&spec, &foundation.image, exports, company)?;
        if is_first {
            let argv = if once {
                around.argv.clone()
            } else {
                command::serve()
            };
            let made = Made {
                reference: &foundation.reference(),
                mounts: state.trees.iter().map(Workspace::mount).collect(),
                argv,
                reads: exports || !once,
                folder: if once {
                    folder(spec.working_dir.as_deref())
                } else {
                    "/".to_owned()
                },
                options: &self.options,
            };
            let container = Container::create(&self.core, made).await?;
            state.container = Some(Arc::new(container));
            state.is_once = once;
        }
        let container = state.container.clone().ok_or_else(|| self.gone())?;
        if is_first && !once {
            state.server = Slot::new(start_server(&self.core, &container).await?);
        }
        let running = Running::begin(&self.running);
        let since = SystemTime::now();
        let (kind, frames) = if once {
            let input = exports.then(|| command::exported(&spec.env));
            let frames = start_first(&self.core, &container, input).await?;
            (Kind::First, frames)
        } else if let Some(handed) = self.hand(&state, &spec, company).await? {
            handed
        } else {
            let (env, folder) = (
                command::pairs(&spec.env),
                folder(spec.working_dir.as_deref()),
            );
            let (id, frames) = start_exec(&self.core, &container, &around, env, folder).await?;
            (Kind::Exec(id), frames)
        };
        state.was_used = true;
        let started = Started {
            core: Arc::clone(&self.core),
            container,
            kind,
            mark: around.mark,
            since,
            has_memory_limit: self.options.memory_mib.is_some(),
            machine: self.id.clone(),
            server: state.server.clone(),
            _running: running,
        };
        Ok((started, frames))
    }

    /// Hands a command to the first process, if that takes it. Only one that is alone: what
    /// each of several left running could not be told apart.
    async fn hand(
        &self,
        state: &State,
        spec: &ExecSpec,
        company: Company,
    ) -> Result<Option<(Kind, Frames)>, VmError> {
        let foundation = state.foundation.as_ref().ok_or_else(|| self.gone())?;
        let request = command::request(spec, &foundation.image, company.came_before);
        let Some(request) = request.filter(|_| !company.is_there) else {
            return Ok(None);
        };
        let Some(server) = state.server.take() else {
            return Ok(None);
        };
        let handed = server.run(&request, &state.server).await;
        let (frames, code) = handed.map_err(self.core.daemon.failed("hand over a command"))?;
        Ok(Some((Kind::Handed(code), frames)))
    }

    /// Makes what a container has mounted.
    async fn trees(&self, foundation: &Foundation) -> Result<Vec<Workspace>, VmError> {
        let mut trees =
            vec![Workspace::make(&self.core, FOLDER, &foundation.uppers, &self.lowest).await?];
        let nothing = self.lowest.without_places();
        for folder in &foundation.image.volumes {
            let uppers = foundation.volumes.get(folder);
            let uppers = uppers.map_or(&[][..], Vec::as_slice);
            trees.push(Workspace::make(&self.core, folder, uppers, &nothing).await?);
        }
        Ok(trees)
    }

    /// Ends what runs, and makes the foundation that of what the machine leaves behind: a
    /// commit, if anything but the workspace has changed, and the workspace's upper.
    async fn freeze(&self, state: &mut State) -> Result<(), VmError> {
        let mut foundation = state.foundation.take().ok_or_else(|| self.gone())?;
        if let Some(container) = state.container.take() {
            if self.running.load(Ordering::Acquire) > 0 {
                container.kill().await;
            }
            if self.has_changed(&container).await? {
                let commit = self.commit(&container, &foundation).await?;
                foundation.commits.insert(0, Arc::new(commit));
            }
            container.remove().await;
        }
        for mut tree in std::mem::take(&mut state.trees) {
            let uppers = match tree.folder() {
                FOLDER => &mut foundation.uppers,
                folder => foundation.volumes.entry(folder.to_owned()).or_default(),
            };
            uppers.splice(0..0, tree.freeze());
            tree.remove().await;
        }
        state.is_once = false;
        state.server = Slot::default();
        state.was_used = false;
        state.foundation = Some(foundation);
        Ok(())
    }

    /// Whether there is anything to commit.
    async fn has_changed(&self, container: &Container) -> Result<bool, VmError> {
        let docker = &self.core.daemon.docker;
        let changes = docker.container_changes(container.name()).await.map_err(
            self.core
                .daemon
                .failed("compare a container with its image"),
        )?;
        Ok(changes
            .unwrap_or_default()
            .iter()
            .any(|change| !MOUNTED_ON.contains(&change.path.as_str())))
    }

    async fn commit(
        &self,
        container: &Container,
        foundation: &Foundation,
    ) -> Result<Layer, VmError> {
        let depth = foundation.image.depth + foundation.commits.len();
        if depth >= MOST_COMMITS {
            return Err(VmError::Limit(format!(
                "this chain of steps whose results are kept or shared has {depth} layers of images, \
                 and the daemon's storage driver takes little more; the sandbox engine takes longer \
                 ones (`--engine sandbox`)"
            )));
        }
        let name = fresh_name();
        // Named before the call, so that it goes whatever becomes of the answer.
        let layer = Layer::live(
            &self.core,
            layer::Kind::Image,
            name.clone(),
            std::path::PathBuf::new(),
        );
        let options = CommitContainerOptionsBuilder::new()
            .container(container.name())
            .repo(REPOSITORY)
            .tag(&name)
            // Nothing runs in it that could write.
            .pause(false)
            .build();
        // Not the container's own command, which holds variables that are nobody's business.
        let config = ContainerConfig {
            entrypoint: Some(vec!["/bin/sh".to_owned()]),
            ..ContainerConfig::default()
        };
        let docker = &self.core.daemon.patient;
        docker
            .commit_container(options, config)
            .await
            .map_err(self.core.daemon.failed("commit a container"))?;
        Ok(layer)
    }
}

#[async_trait]
impl Machine for DockerMachine {
    fn id(&self) -> &str {
        &self.inner.id
    }

    async fn exec(&self, spec: ExecSpec) -> Result<Execution, VmError> {
        let (inner, timeout) = (Arc::clone(&self.inner), spec.timeout);
        let chores = self.inner.core.chores.clone();
        chores
            .finish(async move {
                let (started, frames) = inner.start(spec).await?;
                Ok(started.run(frames, timeout))
            })
            .await
    }

    async fn snapshot(self: Box<Self>) -> Result<Arc<dyn Snapshot>, VmError> {
        let inner = self.inner;
        let chores = inner.core.chores.clone();
        let foundation = chores
            .finish(async move {
                let mut state = inner.state.lock().await;
                inner.freeze(&mut state).await?;
                state.foundation.take().ok_or_else(|| inner.gone())
            })
            .await?;
        Ok(Arc::new(DockerSnapshot {
            id: fresh_name(),
            foundation,
        }))
    }

    async fn destroy(self: Box<Self>) {
        let inner = self.inner;
        let chores = inner.core.chores.clone();
        let _ = chores
            .finish(async move {
                let parts = inner.state.lock().await.take();
                parts.remove().await;
                Ok(())
            })
            .await;
    }
}

/// Relative to where commands start unless told otherwise.
fn folder(asked: Option<&str>) -> String {
    match asked {
        Some(folder) if folder.starts_with('/') => folder.to_owned(),
        Some(folder) => format!("{FOLDER}/{folder}"),
        None => FOLDER.to_owned(),
    }
}

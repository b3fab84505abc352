//! Jobs in machines, as `hm run` has them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use flate2::read::GzDecoder;
use hm_vm::sandbox::{SandboxConfig, SandboxEngine};
use hm_vm::{
    Base, BootSpec, ExecSpec, ExecStatus, FreezeOptions, FrozenSource, Machine, MachineOptions,
    Progress, Snapshot, StateDir, Subsystem, SubsystemConfig, VmError,
};
use tempfile::TempDir;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{Ended, JobRun, LogWriter, Workload};

/// A chunk is a line, unless the line is longer than this.
const MOST_CHUNK: u64 = 64 << 10;

/// Runs jobs with the VM subsystem.
pub struct Machines {
    subsystem: Subsystem,
    /// `FROM` and `TO` of `--image`; `*` stands for any text.
    images: Vec<(String, String)>,
    builds: Mutex<HashMap<Uuid, Arc<OneBuild>>>,
}

/// What the jobs of a build share.
#[derive(Default)]
struct OneBuild {
    source: OnceCell<Result<Source, String>>,
    snapshots: Mutex<HashMap<usize, Arc<dyn Snapshot>>>,
}

struct Source {
    frozen: FrozenSource,
    _folder: TempDir,
}

impl Machines {
    /// Opens the subsystem with its state in a folder. `spawner` is the program, and its
    /// arguments, that starts machines.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(
        state: &Path,
        spawner: Vec<OsString>,
        images: Vec<(String, String)>,
    ) -> Result<Self, VmError> {
        let mut config = SandboxConfig::new(state);
        config.spawner = spawner;
        let state = StateDir::open(state)?;
        let engine = Arc::new(SandboxEngine::open(config)?);
        Ok(Self {
            subsystem: Subsystem::open(SubsystemConfig::new(state, engine))?,
            images,
            builds: Mutex::default(),
        })
    }

    fn build(&self, id: Uuid) -> Arc<OneBuild> {
        let mut builds = self.builds.lock().unwrap_or_else(PoisonError::into_inner);
        builds.entry(id).or_default().clone()
    }

    fn image<'a>(&'a self, image: &'a str) -> &'a str {
        let rule = self.images.iter().find(|(from, _)| matches(from, image));
        rule.map_or(image, |(_, to)| to)
    }

    async fn boot(&self, build: &OneBuild, job: &JobRun) -> Result<Box<dyn Machine>, Ended> {
        let lost = |error: VmError| Ended::Lost("provision_failed", chain(&error));
        let source = build
            .source
            .get_or_init(|| unpack(&self.subsystem, job.archive.clone()))
            .await;
        let source = source
            .as_ref()
            .map_err(|error| Ended::Lost("provision_failed", error.clone()))?;
        let engine = self.subsystem.engine();
        let base = match job.parent {
            Some(parent) => {
                let snapshots = build
                    .snapshots
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let parent = snapshots.get(&parent).cloned();
                Base::Snapshot(parent.ok_or_else(|| {
                    Ended::Lost("snapshot_failed", "the parent left no snapshot".into())
                })?)
            }
            None => {
                let image = self.image(&job.image);
                engine
                    .image_id(image, &Progress::default())
                    .await
                    .map_err(lost)?;
                Base::Image(image.to_owned())
            }
        };
        let spec = BootSpec {
            base,
            source: source.frozen.layers().clone(),
            options: MachineOptions::default(),
        };
        engine.boot(spec).await.map_err(lost)
    }

    async fn execute(&self, job: &JobRun, log: &LogWriter) -> Ended {
        let build = self.build(job.build);
        let machine = match self.boot(&build, job).await {
            Ok(machine) => machine,
            Err(ended) => return ended,
        };
        let spec = ExecSpec {
            command: job.command.clone(),
            env: job.env.clone(),
            working_dir: None,
            timeout: Some(job.timeout),
            is_last: true,
        };
        let execution = match machine.exec(spec).await {
            Ok(execution) => execution,
            Err(error) => return Ended::Lost("sandbox_lost", chain(&error)),
        };
        let (out, err, status) = tokio::join!(
            copy(BufReader::new(execution.stdout), 0, log),
            copy(BufReader::new(execution.stderr), 1, log),
            execution.status,
        );
        let _ = (out, err);
        let ended = match status {
            Ok(ExecStatus::Exited(code) | ExecStatus::OutOfProcesses(Some(code))) => {
                Ended::Exited(code)
            }
            Ok(ExecStatus::Signaled(_)) => Ended::Signaled,
            Ok(ExecStatus::TimedOut | ExecStatus::OutOfProcesses(None)) => Ended::TimedOut,
            Ok(ExecStatus::OutOfMemory) => Ended::Lost("sandbox_lost", "out of memory".into()),
            Ok(ExecStatus::OutOfDisk | ExecStatus::DiskFull(_)) => {
                Ended::Lost("sandbox_lost", "out of disk".into())
            }
            Err(error) => Ended::Lost("sandbox_lost", chain(&error)),
        };
        if ended == Ended::Exited(0) && job.has_heirs {
            match machine.snapshot().await {
                Ok(snapshot) => {
                    let mut kept = build
                        .snapshots
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    kept.insert(job.index, snapshot);
                }
                Err(error) => return Ended::Lost("snapshot_failed", chain(&error)),
            }
        } else {
            machine.destroy().await;
        }
        ended
    }
}

#[async_trait]
impl Workload for Machines {
    async fn run(&self, job: JobRun, log: LogWriter) -> Ended {
        let stop = job.stop.clone();
        tokio::select! {
            biased;
            // Dropping the rest ends the machine.
            () = stop.cancelled() => Ended::Stopped,
            ended = self.execute(&job, &log) => ended,
        }
    }

    async fn build_ended(&self, build: Uuid) {
        let mut builds = self.builds.lock().unwrap_or_else(PoisonError::into_inner);
        builds.remove(&build);
    }

    async fn close(&self) {
        let builds =
            std::mem::take(&mut *self.builds.lock().unwrap_or_else(PoisonError::into_inner));
        drop(builds);
        self.subsystem.settle().await;
        self.subsystem.engine().close().await;
    }
}

/// Unpacks the archive as it is, and freezes what comes out.
async fn unpack(subsystem: &Subsystem, archive: Bytes) -> Result<Source, String> {
    let unpacked = tokio::task::spawn_blocking(move || {
        let folder = TempDir::with_prefix("hm-fake-cloud-")?;
        let mut archive = tar::Archive::new(GzDecoder::new(archive.as_ref()));
        archive.set_preserve_permissions(true);
        archive.unpack(folder.path())?;
        Ok::<_, std::io::Error>(folder)
    });
    let folder = match unpacked.await {
        Ok(Ok(folder)) => folder,
        Ok(Err(error)) => return Err(format!("the source could not be unpacked: {error}")),
        Err(error) => return Err(error.to_string()),
    };
    let frozen = subsystem
        .freeze_source(folder.path(), FreezeOptions::default())
        .await
        .map_err(|error| chain(&error))?;
    Ok(Source {
        frozen,
        _folder: folder,
    })
}

/// Stores what a command prints, line by line.
async fn copy(
    mut output: impl AsyncBufRead + Unpin,
    kind: u8,
    log: &LogWriter,
) -> std::io::Result<()> {
    loop {
        let mut line = Vec::new();
        let read = (&mut output)
            .take(MOST_CHUNK)
            .read_until(b'\n', &mut line)
            .await?;
        if read == 0 {
            return Ok(());
        }
        log.write(kind, line);
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// Matches a pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len()).any(|at| text.is_char_boundary(at) && matches(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_any_text() {
        assert!(matches("*", "ubuntu:24.04"));
        assert!(matches("ubuntu:*", "ubuntu:24.04"));
        assert!(!matches("ubuntu:*", "alpine"));
        assert!(matches("*alp*ne", "my/alpine"));
    }
}

//! An engine whose machines do as the kit's commands say, and fail when they are to.

use std::any::Any;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::FutureExt;
use hm_vm::{
    Base, BootSpec, ExecSpec, ExecStatus, Execution, LayerRecord, Machine, Progress, Snapshot,
    SnapshotRecord, Support, VmBackend, VmError,
};

use crate::shell::{self, End};

/// The image that nobody has.
pub(crate) const NO_IMAGE: &str = "conformance.example/absent:1";

/// What goes wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The first command loses its machine.
    LoseFirst,
}

/// What was asked of the engine.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    held: AtomicUsize,
    most_held: AtomicUsize,
    booted: AtomicUsize,
    running: AtomicUsize,
    most_running: AtomicUsize,
    commands: AtomicUsize,
}

impl Counts {
    /// Machines at one time, at most.
    pub(crate) fn most_held(&self) -> usize {
        self.most_held.load(Ordering::Relaxed)
    }

    /// Machines in all.
    pub(crate) fn booted(&self) -> usize {
        self.booted.load(Ordering::Relaxed)
    }

    /// Commands at one time, at most.
    pub(crate) fn most_running(&self) -> usize {
        self.most_running.load(Ordering::Relaxed)
    }

    fn count(now: &AtomicUsize, most: &AtomicUsize) {
        let count = now.fetch_add(1, Ordering::Relaxed) + 1;
        most.fetch_max(count, Ordering::Relaxed);
    }
}

/// The engine.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    counts: Mutex<Arc<Counts>>,
    fault: Mutex<Fault>,
    made: AtomicU64,
}

impl Scripted {
    /// Begins a build: counts anew, and goes wrong like this.
    pub(crate) fn begin(&self, fault: Fault) -> Arc<Counts> {
        let counts = Arc::new(Counts::default());
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts.clone();
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        counts
    }

    fn id(&self) -> String {
        format!("scripted-{}", self.made.fetch_add(1, Ordering::Relaxed))
    }
}

#[async_trait]
impl VmBackend for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn support(&self) -> Support {
        Support::default()
    }

    async fn image_id(&self, image: &str, _: &Progress) -> Result<String, VmError> {
        if image == NO_IMAGE {
            return Err(absent(image));
        }
        Ok(image.to_owned())
    }

    async fn boot(&self, spec: BootSpec) -> Result<Box<dyn Machine>, VmError> {
        if let Base::Image(image) = &spec.base
            && image == NO_IMAGE
        {
            return Err(absent(image));
        }
        let counts = self
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Counts::count(&counts.held, &counts.most_held);
        counts.booted.fetch_add(1, Ordering::Relaxed);
        let fault = *self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(Place {
            id: self.id(),
            counts,
            fault,
        }))
    }

    async fn keep(&self, snapshot: &Arc<dyn Snapshot>) -> Result<SnapshotRecord, VmError> {
        let id = snapshot.id().to_owned();
        let layer = LayerRecord {
            id: id.clone(),
            bytes: 1,
        };
        Ok(SnapshotRecord {
            id,
            flavour: "scripted".into(),
            image: None,
            layers: vec![layer],
        })
    }

    async fn open(&self, record: &SnapshotRecord) -> Result<Option<Arc<dyn Snapshot>>, VmError> {
        Ok(Some(Arc::new(Frozen(record.id.clone()))))
    }

    async fn remove_layers(&self, _: &[String]) -> Result<(), VmError> {
        Ok(())
    }

    async fn reap(&self) -> Result<usize, VmError> {
        Ok(0)
    }

    async fn settle(&self) {}
}

fn absent(image: &str) -> VmError {
    VmError::ImageNotFound {
        image: image.to_owned(),
        engine: "scripted",
    }
}

#[derive(Debug)]
struct Frozen(String);

impl Snapshot for Frozen {
    fn id(&self) -> &str {
        &self.0
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A machine.
#[derive(Debug)]
struct Place {
    id: String,
    counts: Arc<Counts>,
    fault: Fault,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A command that runs.
struct Running(Arc<Counts>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Machine for Place {
    fn id(&self) -> &str {
        &self.id
    }

    async fn exec(&self, spec: ExecSpec) -> Result<Execution, VmError> {
        let script = shell::read(&spec.command);
        let is_first = self.counts.commands.fetch_add(1, Ordering::Relaxed) == 0;
        let is_lost = is_first && self.fault == Fault::LoseFirst;
        Counts::count(&self.counts.running, &self.counts.most_running);
        let running = Running(self.counts.clone());
        let id = self.id.clone();
        let status = async move {
            let _running = running;
            if is_lost {
                return Err(VmError::Gone(id));
            }
            let takes = match spec.timeout {
                Some(limit) if limit < script.takes => {
                    tokio::time::sleep(limit).await;
                    return Ok(ExecStatus::TimedOut);
                }
                _ => script.takes,
            };
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            Ok(match script.end {
                End::Code(code) => ExecStatus::Exited(code),
                End::Signal(signal) => ExecStatus::Signaled(signal),
            })
        };
        Ok(Execution {
            stdout: Box::new(std::io::Cursor::new(script.stdout)),
            stderr: Box::new(std::io::Cursor::new(script.stderr)),
            status: status.boxed(),
        })
    }

    async fn snapshot(self: Box<Self>) -> Result<Arc<dyn Snapshot>, VmError> {
        Ok(Arc::new(Frozen(self.id.clone())))
    }

    async fn destroy(self: Box<Self>) {}
}

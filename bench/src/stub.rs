//! An engine that does nothing, at once: what is left is scheduling.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use hm_vm::{
    BootSpec, ExecSpec, ExecStatus, Execution, Machine, Progress, Snapshot, SnapshotRecord,
    Support, VmBackend, VmError,
};

/// The engine.
pub struct Stub;

#[derive(Debug)]
struct Nothing;

impl Snapshot for Nothing {
    fn id(&self) -> &str {
        "nothing"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[async_trait]
impl VmBackend for Stub {
    fn name(&self) -> &'static str {
        "stub"
    }

    fn support(&self) -> Support {
        Support::default()
    }

    async fn image_id(&self, image: &str, _: &Progress) -> Result<String, VmError> {
        Ok(image.to_owned())
    }

    async fn boot(&self, _: BootSpec) -> Result<Box<dyn Machine>, VmError> {
        Ok(Box::new(Nothing))
    }

    async fn keep(&self, _: &Arc<dyn Snapshot>) -> Result<SnapshotRecord, VmError> {
        Err(VmError::Other("the stub keeps nothing".into()))
    }

    async fn open(&self, _: &SnapshotRecord) -> Result<Option<Arc<dyn Snapshot>>, VmError> {
        Ok(None)
    }

    async fn remove_layers(&self, _: &[String]) -> Result<(), VmError> {
        Ok(())
    }

    async fn reap(&self) -> Result<usize, VmError> {
        Ok(0)
    }

    async fn settle(&self) {}
}

#[async_trait]
impl Machine for Nothing {
    fn id(&self) -> &str {
        "nothing"
    }

    async fn exec(&self, _: ExecSpec) -> Result<Execution, VmError> {
        Ok(Execution {
            stdout: Box::new(tokio::io::empty()),
            stderr: Box::new(tokio::io::empty()),
            status: std::future::ready(Ok(ExecStatus::Exited(0))).boxed(),
        })
    }

    async fn snapshot(self: Box<Self>) -> Result<Arc<dyn Snapshot>, VmError> {
        Ok(Arc::new(Nothing))
    }

    async fn destroy(self: Box<Self>) {}
}

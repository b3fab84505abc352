//! Work that goes on whoever waits for it, and is waited for in the end.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::error::VmError;

/// Counts what is under way. What is asked of the daemon must run to its end once it is
/// sent, as a caller that stops listening does not undo it.
#[derive(Debug, Clone)]
pub(super) struct Chores {
    runtime: Handle,
    pending: Arc<watch::Sender<usize>>,
}

/// Counts down, however the work ends.
struct Pending(Arc<watch::Sender<usize>>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.send_modify(|pending| *pending -= 1);
    }
}

impl Chores {
    /// For the runtime that calls.
    pub(super) fn new() -> Self {
        Self {
            runtime: Handle::current(),
            pending: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Does something beside the caller. Never blocks, and needs no runtime around it.
    pub(super) fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.pending.send_modify(|pending| *pending += 1);
        let pending = Pending(Arc::clone(&self.pending));
        // A runtime that has ended drops the work, and `reap` finds what it was about.
        self.runtime.spawn(async move {
            let _pending = pending;
            work.await;
        });
    }

    /// Does something to its end, also if the caller stops waiting; the result is then
    /// dropped.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, VmError>> + Send + 'static,
    ) -> Result<T, VmError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.begin(async move {
            let _ = sender.send(work.await);
        });
        receiver
            .await
            .map_err(|_| VmError::Other("the runtime is ending".to_owned()))?
    }

    /// Waits until nothing is under way.
    pub(super) async fn settle(&self) {
        let mut pending = self.pending.subscribe();
        let _ = pending.wait_for(|pending| *pending == 0).await;
    }
}

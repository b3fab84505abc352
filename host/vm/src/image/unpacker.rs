//! Layers into the store, on threads that may block.

use std::fs::File;
use std::sync::Arc;

use tokio::sync::watch;

use super::failure;
use super::layer::{Dialect, Flavour, ImageLimits, Refusal, Stop, Unpacked, Unpacking, unpack};
use super::making::Making;
use super::store::Store;
use crate::error::VmError;
use crate::state::disk_space;

/// Unpacks layers for one kind of mount.
#[derive(Debug, Clone)]
pub(super) struct Unpacker {
    pub(super) store: Store,
    pub(super) flavour: Flavour,
    pub(super) limits: ImageLimits,
    pub(super) working: Working,
}

/// Counts what is going on, so that its end can be waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct Working(Arc<watch::Sender<usize>>);

struct Share(Working);

impl Working {
    fn share(&self) -> Share {
        self.0.send_modify(|count| *count += 1);
        Share(self.clone())
    }

    /// Waits until nothing goes on.
    pub(super) async fn settle(&self) {
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

/// Stops the work of a future that is dropped.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Unpacker {
    /// Unpacks an archive and puts the layer in its place. Dropping the future stops it.
    /// With a promised digest, another is refused. Returns the layer's digest.
    pub(super) async fn unpack(
        &self,
        image: &str,
        name: &str,
        archive: File,
        promised: Option<&str>,
        making: Making,
    ) -> Result<String, VmError> {
        let stop = Stop::default();
        let _guard = StopOnDrop(stop.clone());
        let how = Unpacking {
            flavour: self.flavour,
            ownership: rustix::process::geteuid().is_root(),
            limits: self.limits,
            dialect: Dialect::Image,
            stop,
        };
        let (store, share) = (self.store.clone(), self.working.share());
        let promised = promised.map(str::to_owned);
        let done = tokio::task::spawn_blocking(move || {
            let _share = share;
            // Gone before the share: then nothing is left half-made.
            let making = making;
            unpack_blocking(&store, archive, promised.as_deref(), &making, &how)
        });
        match done.await {
            Ok(Ok(unpacked)) => Ok(unpacked.diff_id),
            Ok(Err(Trouble::Refused(refusal))) => {
                Err(failure::layer(image, failure::short(name), &refusal))
            }
            Ok(Err(Trouble::Store(error))) => Err(error),
            Err(error) => Err(VmError::Other(format!("unpacking was cut short: {error}"))),
        }
    }
}

enum Trouble {
    Refused(Refusal),
    Store(VmError),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<VmError> for Trouble {
    fn from(error: VmError) -> Self {
        Self::Store(error)
    }
}

fn unpack_blocking(
    store: &Store,
    archive: File,
    promised: Option<&str>,
    making: &Making,
    how: &Unpacking,
) -> Result<Unpacked, Trouble> {
    let tree = making.tree()?;
    let unpacked = unpack(archive, &tree, how)?;
    if let Some(promised) = promised
        && unpacked.diff_id != promised
    {
        return Err(Refusal::Digest {
            found: unpacked.diff_id,
            promised: promised.to_owned(),
        }
        .into());
    }
    making.publish(store, how.flavour, &unpacked, disk_space(&tree))?;
    Ok(unpacked)
}

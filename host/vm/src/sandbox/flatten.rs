//! Keeping stacks of layers short: a chain of steps that build on each other may be of any
//! length, and the kernel stacks 500 layers.
//!
//! From [`DEEP`] layers on, a stack is put together into one layer in the background, in a
//! process of the spawner's ([`inside`](super::inside)); machines that boot meanwhile take
//! the stack as it is. What the layer stands for is told by the topmost of those that went
//! into it, as a layer's base never changes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::sync::OwnedRwLockReadGuard;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::failure::Failure;
use super::layer::Layer;
use super::link::Link;
use super::spawner::Spawner;
use super::undertaker::Undertaker;
use super::wire::{self, Flatten, FromFlattener};

/// Layers from which on a stack is put together (vm reference, A3).
pub(super) const DEEP: usize = 64;

/// Layers with which no machine is started any more before they are put together: the
/// kernel takes 500, and a chain may grow while that is under way.
pub(super) const DEEPEST: usize = 400;

/// A result that several machines may wait for; the reason if there is none.
type Merging = Shared<BoxFuture<'static, Result<(), String>>>;

/// What stands for which stack, by the identity of its topmost layer.
#[derive(Debug, Default)]
pub(super) struct Flattener {
    stacks: Mutex<HashMap<String, Stack>>,
}

#[derive(Debug)]
struct Stack {
    /// As long as it lives somebody may ask.
    topmost: Weak<Layer>,
    merged: Merged,
}

#[derive(Debug)]
enum Merged {
    Coming(Merging, AbortHandle),
    There(Vec<Arc<Layer>>),
    /// It is not tried again.
    Failed,
}

/// What is needed to put a stack together.
pub(super) struct Workshop {
    pub(super) spawner: Arc<Spawner>,
    pub(super) undertaker: Undertaker,
    pub(super) live: Arc<Path>,
    /// Keeps layers where they are until they are open.
    pub(super) places: OwnedRwLockReadGuard<()>,
}

impl Flattener {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn stacks(&self) -> std::sync::MutexGuard<'_, HashMap<String, Stack>> {
        self.stacks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the shortest stack that means the same as this one, topmost first.
    pub(super) fn shortest(&self, layers: &[Arc<Layer>]) -> Vec<Arc<Layer>> {
        let stacks = self.stacks();
        for (index, layer) in layers.iter().enumerate() {
            if let Some(Merged::There(merged)) = stacks.get(&layer.id).map(|stack| &stack.merged) {
                let mut short = layers[..index].to_vec();
                short.extend(merged.iter().cloned());
                return short;
            }
        }
        layers.to_vec()
    }

    /// Begins to put a stack together; what is under way for a part of it already will do.
    /// None where it has been tried in vain.
    pub(super) fn merge(
        self: &Arc<Self>,
        layers: &[Arc<Layer>],
        workshop: impl FnOnce() -> Workshop,
    ) -> Option<Merging> {
        let topmost = layers.first()?;
        let mut stacks = self.stacks();
        for layer in layers {
            match stacks.get(&layer.id).map(|stack| &stack.merged) {
                Some(Merged::Coming(merging, _)) => return Some(merging.clone()),
                Some(Merged::Failed) => return None,
                _ => {}
            }
        }
        stacks.retain(|_, stack| stack.topmost.strong_count() > 0);
        let workshop = workshop();
        let (this, stack) = (Arc::clone(self), layers.to_vec());
        let task = tokio::spawn(async move {
            let made = make(&stack, workshop).await;
            this.finish(&stack[0].id, made)
        });
        let abort = task.abort_handle();
        let merging = async move { task.await.unwrap_or_else(|error| Err(error.to_string())) }
            .boxed()
            .shared();
        stacks.insert(
            topmost.id.clone(),
            Stack {
                topmost: Arc::downgrade(topmost),
                merged: Merged::Coming(merging.clone(), abort),
            },
        );
        Some(merging)
    }

    fn finish(&self, topmost: &str, made: Result<Vec<Layer>, String>) -> Result<(), String> {
        let (merged, result) = match made {
            Ok(layers) => (
                Merged::There(layers.into_iter().map(Arc::new).collect()),
                Ok(()),
            ),
            Err(why) => {
                tracing::debug!(layer = topmost, why, "a stack of layers stays as it is");
                (Merged::Failed, Err(why))
            }
        };
        if let Some(stack) = self.stacks().get_mut(topmost) {
            stack.merged = merged;
        }
        result
    }

    /// Forgets everything, and gives up what is under way.
    pub(super) fn clear(&self) {
        let stacks = std::mem::take(&mut *self.stacks());
        for stack in stacks.into_values() {
            if let Merged::Coming(_, task) = stack.merged {
                task.abort();
            }
        }
    }
}

/// Has a stack put together by a process of the spawner's: into one layer, and its
/// [`floor`](super::floor) where it needs one.
async fn make(layers: &[Arc<Layer>], workshop: Workshop) -> Result<Vec<Layer>, String> {
    let new = || {
        let id = Uuid::new_v4().simple().to_string();
        (id.clone(), workshop.live.join(id))
    };
    let ((id, target), (floor_id, floor)) = (new(), new());
    // From here on both go with their handles, half made or whole.
    let merged = Layer::paired(id, target.clone(), workshop.undertaker.clone());
    let below = Layer::paired(floor_id, floor.clone(), workshop.undertaker.clone());
    let (ours, theirs) = wire::pair().map_err(|error| error.to_string())?;
    let link = Link::new(ours).map_err(|error| error.to_string())?;
    let asked = Flatten {
        layers: layers.iter().map(|layer| layer.folder()).collect(),
        target,
        floor,
    };
    let sent = workshop.spawner.flatten(asked, theirs).await;
    sent.map_err(|error| error.to_string())?;
    let mut places = Some(workshop.places);
    loop {
        match link.receive().await.map_err(|error| error.to_string())? {
            Some((FromFlattener::Opened, _)) => drop(places.take()),
            Some((FromFlattener::Done { has_floor: true }, _)) => return Ok(vec![merged, below]),
            Some((FromFlattener::Done { has_floor: false }, _)) => return Ok(vec![merged]),
            Some((FromFlattener::Failed(Failure { cause, .. }), _)) => return Err(cause),
            None => return Err("the process that put layers together ended".to_owned()),
        }
    }
}

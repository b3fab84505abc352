//! `hm:backend/source`: the tree as frozen for this build, for components that hand it on.
//!
//! There is one frozen tree a build: machines see its layers, and an archive is made of the
//! same copies.

mod archive;
mod host;
mod largest;

use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use hm_vm::source::EntryKind;
use hm_vm::{FreezeOptions, FrozenSource, StateDir, Subsystem};

/// A frozen tree, or why there is none.
type Frozen = Result<Arc<FrozenSource>, Arc<str>>;

/// The source tree of one build.
pub(crate) struct SourceTree {
    frozen: Shared<BoxFuture<'static, Frozen>>,
    /// Whether the component may read it.
    is_granted: bool,
}

/// Files and bytes of a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl SourceTree {
    /// Begins to freeze the tree, beside the component's start. The subsystem whose machines
    /// see it, if any do, tells the user of it.
    pub(crate) fn new(
        state: StateDir,
        root: PathBuf,
        is_granted: bool,
        subsystem: Option<Arc<Subsystem>>,
    ) -> Self {
        let frozen = async move {
            let freezing = tokio::task::spawn_blocking(move || {
                hm_vm::source::freeze(&state, &root, &FreezeOptions::default())
            });
            let text = match freezing.await {
                Ok(Ok(frozen)) => {
                    if let Some(subsystem) = subsystem {
                        subsystem.tell_of(&frozen);
                    }
                    return Ok(Arc::new(frozen));
                }
                Ok(Err(error)) => super::vm::chain(&error),
                Err(error) => error.to_string(),
            };
            Err(format!("the source tree could not be frozen: {text}").into())
        }
        .boxed()
        .shared();
        tokio::spawn(frozen.clone());
        Self { frozen, is_granted }
    }

    /// Returns the frozen tree, as soon as it is there.
    ///
    /// # Errors
    /// Why it could not be frozen, in words.
    pub(crate) async fn frozen(&self) -> Result<Arc<FrozenSource>, String> {
        self.frozen.clone().await.map_err(|text| text.to_string())
    }

    /// Returns what takes the most room, largest first, with its bytes.
    pub(crate) async fn largest(&self) -> Vec<(String, u64)> {
        match self.frozen().await {
            Ok(frozen) => largest::largest(&frozen),
            Err(_) => Vec::new(),
        }
    }
}

fn size(frozen: &FrozenSource) -> Size {
    let files = frozen
        .entries()
        .filter(|entry| entry.kind != EntryKind::Directory);
    files.fold(Size::default(), |size, entry| Size {
        files: size.files + 1,
        bytes: size.bytes + entry.size,
    })
}

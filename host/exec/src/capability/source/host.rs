//! The generated traits of `hm:backend/source`.

use std::sync::Arc;

use wasmtime::component::{Access, Accessor, FutureReader, HasSelf, StreamReader};

use super::{Size, SourceTree, archive, size};
use crate::capability::State;
use crate::capability::bytestream::Bytestream;
use crate::component::bindings::hm::backend::source as wit;

/// What a component reads that may not read the tree.
const DENIED: &str = "source is not granted";

impl State {
    fn source(&self) -> Option<Arc<SourceTree>> {
        let tree = self.session.source().filter(|tree| tree.is_granted);
        tree.filter(|_| !self.is_describing).cloned()
    }
}

impl From<Size> for wit::TreeInfo {
    fn from(size: Size) -> Self {
        Self {
            file_count: size.files,
            total_bytes: size.bytes,
        }
    }
}

impl wit::Host for State {}

impl wit::HostWithStore<State> for HasSelf<State> {
    async fn measure(
        accessor: &Accessor<State, Self>,
    ) -> wasmtime::Result<Result<wit::TreeInfo, String>> {
        let (tree, (_, _call)) = accessor.with(|mut access| {
            let state = access.get();
            Ok::<_, wasmtime::Error>((state.source(), state.session.enter()?))
        })?;
        Ok(match tree {
            None => Err(DENIED.into()),
            Some(tree) => tree.frozen().await.map(|frozen| size(&frozen).into()),
        })
    }

    fn archive(mut access: Access<'_, State, Self>) -> wasmtime::Result<wit::ArchiveStream> {
        let Some(tree) = access.get().source() else {
            let denied = async { Ok::<_, wasmtime::Error>(Err(DENIED.to_owned())) };
            return Ok(wit::ArchiveStream {
                data: StreamReader::new(&mut access, std::iter::empty())?,
                done: FutureReader::new(&mut access, denied)?,
            });
        };
        let (_, call) = access.get().session.enter()?;
        let made = archive::begin(tree, call);
        let done = async move {
            Ok::<_, wasmtime::Error>(match made.done.await {
                Ok(done) => done.map(wit::TreeInfo::from),
                Err(_) => Err("the archive was given up".into()),
            })
        };
        Ok(wit::ArchiveStream {
            data: StreamReader::new(&mut access, Bytestream(made.data))?,
            done: FutureReader::new(&mut access, done)?,
        })
    }
}

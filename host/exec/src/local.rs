//! The backend that is built in: a scheduler on this machine's own machines.

use std::sync::Arc;

use async_trait::async_trait;

use crate::api::{BackendHandle, Capabilities, ExecutionBackend, Result, RunRequest};
use crate::capability::{Grants, VmGrant};
use crate::component::{ComponentBackend, ComponentSource, LoadError, Runtime};

/// The component, built from `plugins/local` by this crate's build script.
static COMPONENT: &[u8] = include_bytes!(env!("HM_LOCAL_COMPONENT"));

/// Runs builds on this machine. A component like any other: built in means that its bytes
/// are in the binary and that `vm` is granted beforehand.
pub struct LocalBackend {
    component: ComponentBackend,
}

impl LocalBackend {
    /// Returns where the embedded component's bytes are, to inspect it like any other.
    pub fn source() -> ComponentSource {
        ComponentSource::Embedded {
            name: "local",
            bytes: COMPONENT,
        }
    }

    /// Loads the embedded component. Blocks while it is compiled, once a machine; by the
    /// same process of its own as any other, so that there is one way in.
    ///
    /// # Errors
    /// The engine does not work on this machine.
    pub fn new(runtime: &Arc<Runtime>, vm: VmGrant) -> std::result::Result<Self, LoadError> {
        let loaded = runtime.load(&Self::source())?;
        let grants = Grants {
            vm: Some(vm),
            limits: runtime.limits().clone(),
            ..Grants::default()
        };
        let component = ComponentBackend::new(runtime, "local", &loaded, grants)?;
        Ok(Self {
            component: component.built_in(),
        })
    }
}

#[async_trait]
impl ExecutionBackend for LocalBackend {
    fn name(&self) -> &str {
        self.component.name()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            honors_parallelism: true,
            honors_keep_going: true,
            reports_cache_hits: true,
            ..Capabilities::default()
        }
    }

    async fn start(&self, request: RunRequest) -> Result<BackendHandle> {
        self.component.start(request).await
    }
}

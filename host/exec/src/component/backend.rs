//! Any component, as an execution backend.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use super::{Interface, Limits, LoadError, LoadedComponent, Ready, Runtime, linking};
use crate::api::{BackendHandle, Capabilities, ExecutionBackend, Result, RunRequest};
use crate::capability::Grants;
use crate::session;

/// A component with what was granted to it.
pub struct ComponentBackend {
    name: String,
    runtime: Arc<Runtime>,
    ready: Ready,
    grants: Grants,
    /// Whose results may be cached together: a digest, or all that is built in.
    class: String,
    digest: String,
    asks: BTreeSet<Interface>,
    /// What the component has said of itself, in the first build.
    described: Arc<OnceLock<Capabilities>>,
}

impl ComponentBackend {
    /// Links a component with `grants`. Nothing of it runs before
    /// [`start`](ExecutionBackend::start).
    ///
    /// # Errors
    /// [`LoadError::NotGranted`] with all that is missing; or the component's types are not
    /// the contract's.
    pub fn new(
        runtime: &Arc<Runtime>,
        name: impl Into<String>,
        loaded: &LoadedComponent,
        grants: Grants,
    ) -> std::result::Result<Self, LoadError> {
        let granted: Vec<_> = [
            grants.vm.is_some().then_some(Interface::Vm),
            grants.source.is_some().then_some(Interface::Source),
            grants.http.is_some().then_some(Interface::Http),
        ]
        .into_iter()
        .flatten()
        .collect();
        let ready = linking::link(runtime, loaded, &granted, &grants.limits)?;
        Ok(Self {
            name: name.into(),
            runtime: runtime.clone(),
            ready,
            grants,
            class: loaded.inspection().digest.clone(),
            digest: loaded.inspection().digest.clone(),
            asks: loaded.inspection().asks.clone(),
            described: Arc::default(),
        })
    }

    /// Marks the component as one of ours: all built-in backends share their cached results
    /// across versions of themselves.
    pub(crate) fn built_in(mut self) -> Self {
        self.class = "built-in".into();
        self
    }

    pub(crate) fn described(&self) -> &Arc<OnceLock<Capabilities>> {
        &self.described
    }

    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    pub(crate) fn ready(&self) -> &Ready {
        &self.ready
    }

    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Returns the digest of the component's bytes.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the ceilings of every build of it.
    pub(crate) fn limits(&self) -> &Limits {
        &self.grants.limits
    }

    pub(crate) fn class(&self) -> &str {
        &self.class
    }

    /// True if the component runs steps on this machine; such a one is never an observer.
    pub(crate) fn asks_vm(&self) -> bool {
        self.asks(Interface::Vm)
    }

    /// True if the component imports the interface.
    pub(crate) fn asks(&self, interface: Interface) -> bool {
        self.asks.contains(&interface)
    }
}

#[async_trait]
impl ExecutionBackend for ComponentBackend {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        // What the component says of itself is known once it has run; until then it is held
        // to nothing.
        self.described.get().copied().unwrap_or_default()
    }

    async fn start(&self, request: RunRequest) -> Result<BackendHandle> {
        session::start(self, request).await
    }
}

//! Counts what the guest grows. The engine asks per memory and per table, so the sums are
//! kept here.

use wasmtime::ResourceLimiter;

use super::{LimitHit, Limits};

pub(crate) struct Limiter {
    limits: Limits,
    memory: usize,
    elements: usize,
    /// What the growth that was allowed last took, for when it fails after all.
    last: (usize, usize),
    /// The first limit that was hit. The engine's own error says it too, but a guest can
    /// turn a refusal into a trap of its own.
    hit: Option<LimitHit>,
}

impl Limiter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            memory: 0,
            elements: 0,
            last: (0, 0),
            hit: None,
        }
    }

    /// Returns the limit that the guest ran into, if any.
    pub(crate) fn hit(&self) -> Option<&LimitHit> {
        self.hit.as_ref()
    }

    fn refuse(&mut self, key: &'static str) -> wasmtime::Error {
        let hit = LimitHit::of(key, &self.limits);
        self.hit.get_or_insert(hit.clone());
        hit.into()
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let wanted = self.memory.saturating_add(more);
        if wanted > self.limits.memory_bytes {
            return Err(self.refuse("memory"));
        }
        self.memory = wanted;
        self.last.0 = more;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory -= std::mem::take(&mut self.last.0);
        tracing::debug!("a memory could not grow: {error:#}");
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let wanted = self.elements.saturating_add(more);
        if wanted > self.limits.table_elements {
            return Err(self.refuse("table-elements"));
        }
        self.elements = wanted;
        self.last.1 = more;
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.elements -= std::mem::take(&mut self.last.1);
        tracing::debug!("a table could not grow: {error:#}");
        Ok(())
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.tables
    }

    fn memories(&self) -> usize {
        self.limits.memories
    }
}

//! What a component may use up.

use std::time::Duration;

use wasmtime::ResourceLimiter;

/// Ceilings for one build's component (reference `sandbox`, section 6, and the decisions
/// on runtime limits). They hold for built-in backends and strangers alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Of the file, in bytes.
    pub file_bytes: u64,
    /// All linear memories together, in bytes.
    pub memory_bytes: usize,
    /// Linear memories.
    pub memories: usize,
    /// Core instances.
    pub instances: usize,
    /// Tables.
    pub tables: usize,
    /// Elements of all tables together.
    pub table_elements: usize,
    /// Guest handles at one time.
    pub handles: usize,
    /// Tasks, subtasks, streams and sets at one time.
    pub concurrent: usize,
    /// Host resources (machines, snapshots) at one time.
    pub resources: usize,
    /// What one call may hand to the host, in bytes.
    pub call_bytes: usize,
    /// Processor time of the guest's own code in a build.
    pub cpu: Duration,
    /// Wall time of instantiation.
    pub instantiate: Duration,
    /// Wall time of `describe`.
    pub describe: Duration,
    /// Wall time of `start`, up to its return.
    pub start: Duration,
    /// From the wish to cancel until the instance is gone.
    pub grace: Duration,
    /// From the end of the events to the outcome.
    pub outcome: Duration,
    /// Wall time of a build whose plan has no timeout.
    pub build: Duration,
    /// `notice` and `custom` events in a build.
    pub free_events: u64,
    /// `step-output` in a build, in bytes.
    pub output_bytes: u64,
    /// `diagnostics` in a build, in bytes.
    pub diagnostics_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 32 << 20,
            memory_bytes: 256 << 20,
            memories: 16,
            instances: 64,
            tables: 64,
            table_elements: 200_000,
            handles: 32_768,
            concurrent: 32_768,
            resources: 32_768,
            call_bytes: 2 << 20,
            cpu: Duration::from_secs(300),
            instantiate: Duration::from_secs(10),
            describe: Duration::from_secs(5),
            start: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            outcome: Duration::from_secs(30),
            build: Duration::from_secs(6 * 60 * 60),
            free_events: 500_000,
            output_bytes: 1 << 30,
            diagnostics_bytes: 8 << 20,
        }
    }
}

/// Counts what the guest grows. The engine asks per memory and per table, so the sums are
/// kept here.
pub(crate) struct Limiter {
    limits: Limits,
    memory: usize,
    elements: usize,
    /// The first limit that was hit, in words. The engine's own error says it too, but a
    /// guest can turn a refusal into a trap of its own.
    hit: Option<String>,
}

impl Limiter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            memory: 0,
            elements: 0,
            hit: None,
        }
    }

    /// Returns the limit that the guest ran into, if any.
    pub(crate) fn hit(&self) -> Option<&str> {
        self.hit.as_deref()
    }

    fn refuse(&mut self, limit: String) -> wasmtime::Error {
        let error = wasmtime::Error::msg(limit.clone());
        self.hit.get_or_insert(limit);
        error
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.memory.saturating_add(desired.saturating_sub(current));
        if wanted > self.limits.memory_bytes {
            let limit = format!("memory {} MiB", self.limits.memory_bytes >> 20);
            return Err(self.refuse(limit));
        }
        self.memory = wanted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self
            .elements
            .saturating_add(desired.saturating_sub(current));
        if wanted > self.limits.table_elements {
            let limit = format!("table elements {}", self.limits.table_elements);
            return Err(self.refuse(limit));
        }
        self.elements = wanted;
        Ok(true)
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

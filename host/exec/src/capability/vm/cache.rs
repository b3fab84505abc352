//! Keys of cached results. The host makes them, from what the host knows.

use hm_plugin_protocol::{Level, StepId};
use hm_vm::{CacheClaim, Snapshot, VmError};
use sha2::{Digest, Sha256};
use std::sync::Arc;

use super::machine::{FileSystem, GuestSnapshot};
use super::{CallError, VmSession, wit};
use crate::sequencer::Violation;
use crate::session::Session;

/// Changes when the recipe of keys does.
const RECIPE: &str = "hm-cache-2";

impl VmSession {
    /// Returns the state from which a step starts: its image and the source, or what its
    /// `builds_in` parent left behind.
    pub(super) fn base_of(&self, step: StepId) -> FileSystem {
        match self.graph.parent(step) {
            Some(parent) => FileSystem::After(parent),
            None => FileSystem::Image(
                self.plan.steps[step as usize]
                    .image
                    .clone()
                    .unwrap_or_default(),
            ),
        }
    }

    /// Looks up what the step left behind in an earlier build. If nothing is stored, the
    /// step's key is claimed; if another step or process builds it, its result is waited
    /// for.
    pub(super) async fn lookup(
        &self,
        session: &Session,
        step: StepId,
        parent: Option<&FileSystem>,
    ) -> Result<Option<(String, Arc<dyn Snapshot>)>, CallError> {
        let wanted = self.graph.parent(step).map(FileSystem::After);
        if parent != wanted.as_ref() {
            return Err(CallError::denied(
                "the parent is not what the step builds in",
            ));
        }
        let Some(key) = self.key(session, step).await? else {
            return Ok(None);
        };
        let found = self.find_or_claim(session, step, &key).await;
        {
            let mut keys = self.keys.keys();
            keys.engine = Some(self.engine().name().to_owned());
            let is_hit = matches!(found, Ok(Some(_)));
            keys.lookups.insert(step, (key.clone(), is_hit));
        }
        match found {
            Ok(found) => Ok(found.map(|snapshot| (key, snapshot))),
            Err(error) => {
                tracing::warn!(
                    "the cache could not be read: {}",
                    super::session::chain(&error)
                );
                Ok(None)
            }
        }
    }

    async fn find_or_claim(
        &self,
        session: &Session,
        step: StepId,
        key: &str,
    ) -> Result<Option<Arc<dyn Snapshot>>, VmError> {
        let mut is_told = false;
        // A second lookup of a step that is being built must not wait for itself.
        while !self.claims.holds(step) {
            match self.grant.subsystem.cache_claim(key).await? {
                CacheClaim::Hit(snapshot) => return Ok(Some(snapshot)),
                CacheClaim::Build(guard) => self.claims.add(step, guard),
                CacheClaim::Wait(waiting) => {
                    if !std::mem::replace(&mut is_told, true) {
                        let note = session.ledger().note(
                            Some(step),
                            Level::Info,
                            "waiting for another hm that builds this step".into(),
                        );
                        session.tell(vec![note]).await;
                    }
                    tokio::select! {
                        waited = waiting.wait() => waited?,
                        // See `claims`: whoever waits for this build could wait for ever.
                        () = self.claims.stalled() => return Ok(None),
                    }
                }
            }
        }
        Ok(None)
    }

    /// Keeps what the step left behind. Returns false if it is not to be kept.
    pub(super) async fn store(
        &self,
        session: &Session,
        step: StepId,
        snapshot: &GuestSnapshot,
    ) -> Result<bool, CallError> {
        if snapshot.fs != FileSystem::After(step) {
            return Err(CallError::denied(
                "only the state in which the host saw the step pass is kept",
            ));
        }
        let Some(key) = self.key(session, step).await? else {
            return Ok(false);
        };
        let stored = self
            .grant
            .subsystem
            .cache_store(&key, &snapshot.snapshot)
            .await;
        self.claims.give_up(step);
        stored.map(|()| true).map_err(|error| {
            // A cache that cannot be written costs time, not the build.
            CallError::Guest(wit::VmError::Other(super::session::chain(&error)))
        })
    }

    /// Returns the step's key, or none if nothing of it is cached.
    async fn key(&self, session: &Session, step: StepId) -> Result<Option<String>, CallError> {
        let planned = &self.plan.steps[step as usize];
        let author = planned
            .cache
            .as_ref()
            .and_then(|cache| cache.key.as_deref());
        let Some(author) = author.filter(|_| !self.no_cache) else {
            return Ok(None);
        };
        let repository = self
            .repository
            .get_or_try_init(|| self.grant.subsystem.repository_id(&self.repo_root))
            .await
            .map_err(|error| self.guest_error(error))?;
        let lineage = self.lineage(session, step).await?;
        let parts = [RECIPE, &self.class, self.engine().name(), lineage, author];
        // Apart from the rest, so that what is saved can be bound to another repository.
        Ok(Some(hm_vm::bundle::bind(sha256(&parts), repository)))
    }

    /// Returns a digest of everything that made the step's file system: the image, then
    /// every command with its environment, the step's own included.
    async fn lineage(&self, session: &Session, step: StepId) -> Result<&str, CallError> {
        // Upwards to the first step that is known, then down again: no recursion.
        let mut path = vec![step];
        while let Some(parent) = self.graph.parent(*path.last().unwrap_or(&step)) {
            if self.lineages[parent as usize].initialized() {
                break;
            }
            path.push(parent);
        }
        for &at in path.iter().rev() {
            let cell = &self.lineages[at as usize];
            if cell.initialized() {
                continue;
            }
            let planned = &self.plan.steps[at as usize];
            let base = match self.graph.parent(at) {
                Some(parent) => self.lineages[parent as usize]
                    .get()
                    .cloned()
                    .unwrap_or_default(),
                None => {
                    let image = planned.image.as_deref().unwrap_or_default();
                    // Nothing is fetched that is not granted.
                    let image = self.granted_image(session, image).await?;
                    let id = self
                        .image_id(session, &image)
                        .await
                        .map_err(|error| self.guest_error(error))?;
                    let known = (image, id.clone());
                    self.keys.keys().images.insert(at, known);
                    id
                }
            };
            let mut parts = vec![base.as_str(), &planned.command];
            for (name, value) in &planned.env {
                parts.extend([name.as_str(), value.as_str()]);
            }
            let _ = cell.set(digest(&parts));
        }
        Ok(self.lineages[step as usize]
            .get()
            .map(String::as_str)
            .unwrap_or_default())
    }

    /// Checks a step that the guest named.
    pub(super) fn check(&self, what: &str, step: StepId) -> Result<(), Violation> {
        if (step as usize) < self.plan.steps.len() {
            return Ok(());
        }
        Err(Violation(format!(
            "{what} for step {step}, and the plan has {}",
            self.plan.steps.len()
        )))
    }
}

/// As [`sha256`], in letters.
fn digest(parts: &[&str]) -> String {
    hex::encode(sha256(parts))
}

/// SHA-256 over the parts, each with its length before it, so that no two lists collide.
fn sha256(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

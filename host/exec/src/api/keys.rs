//! What the host found out about cache keys during a build, for whoever explains them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hm_plugin_protocol::StepId;

/// Filled while the build runs; clones are handles on the same.
#[derive(Debug, Clone, Default)]
pub struct KeyLog(Arc<Mutex<Keys>>);

/// What is known of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// Name of the engine, once a key was asked for.
    pub engine: Option<String>,
    /// Of root steps: what was booted from, after `--image`, and its identity.
    pub images: BTreeMap<StepId, (String, String)>,
    /// Of steps that were looked up: their key, and whether it was there.
    pub lookups: BTreeMap<StepId, (String, bool)>,
}

impl KeyLog {
    /// Returns what is known by now.
    pub fn get(&self) -> Keys {
        self.keys().clone()
    }

    pub(crate) fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for KeyLog {
    /// The same log, not one that says the same.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for KeyLog {}

//! The checked pipeline: steps, edges and limits.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A step of the plan, by its index in [`Plan::steps`].
pub type StepId = u32;

/// An environment value that is exactly this prefix and a name stands for a secret.
pub const SECRET_PREFIX: &str = "hm-secret:";

/// A pipeline that was checked: acyclic, unique keys, every index in range, at
/// most one `builds_in` parent a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The pipeline's slug.
    pub pipeline: String,
    /// In document order; an index is a [`StepId`].
    pub steps: Vec<Step>,
    /// Without duplicates, in document order.
    pub edges: Vec<Edge>,
    /// Budget of the whole build, wall clock.
    pub timeout: Option<Duration>,
}

/// One shell command and what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Unique within the plan; any text.
    pub key: String,
    /// For display.
    pub label: Option<String>,
    /// Run as `sh -c COMMAND` in `/workspace`.
    pub command: String,
    /// What a root step boots from; `None` for a step with a `builds_in` parent.
    pub image: Option<String>,
    /// Complete: pipeline, step and command line, merged.
    pub env: BTreeMap<String, String>,
    /// Budget of this step, wall clock.
    pub timeout: Option<Duration>,
    /// The author wants the result reused.
    pub cache: Option<Cache>,
    /// A named step runner; `None` is the backend's default.
    pub runner: Option<String>,
    /// Handed to the runner as is.
    pub runner_args: Option<serde_json::Value>,
    /// Network of the machine; `None` is the run's default.
    pub network: Option<Network>,
}

impl Step {
    /// Returns the label, or else the start of the command (at most 40 characters,
    /// as the predecessor's `display_name` had it).
    pub fn display_name(&self) -> String {
        match &self.label {
            Some(label) if !label.is_empty() => label.clone(),
            _ => {
                let line = self.command.trim_start().lines().next().unwrap_or_default();
                match line.char_indices().nth(40) {
                    Some((end, _)) => format!("{}…", &line[..end]),
                    None => line.to_owned(),
                }
            }
        }
    }
}

/// The author's word on reuse. A policy of `none` is no `Cache` at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// `forever`, `ttl`, `on_change`, `compose`, or a name that this hm does not know.
    pub policy: String,
    /// Changes when the author's policy says that the result is stale. Without a
    /// key the step is not cached.
    pub key: Option<String>,
    /// The whole object as the document has it, for `ir-json`.
    pub document: serde_json::Value,
}

/// What the machines of a step can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Loopback only.
    None,
    /// An own network stack without private ranges.
    Public,
    /// The host's network.
    Host,
}

/// Order between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// Ends first.
    pub before: StepId,
    /// Starts after `before` has passed.
    pub after: StepId,
    /// Whether `after` also inherits the file system.
    pub kind: EdgeKind,
}

/// What an edge carries besides order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeKind {
    /// `after` boots from what `before` left behind.
    BuildsIn,
    /// `after` waits only.
    DependsOn,
}

impl EdgeKind {
    /// Returns the word that the v0 IR uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuildsIn => "builds_in",
            Self::DependsOn => "depends_on",
        }
    }
}

impl Step {
    /// Returns true if the host may look the step up in the cache and keep its result.
    pub fn is_cacheable(&self) -> bool {
        self.cache.as_ref().is_some_and(|cache| cache.key.is_some())
    }
}

impl Plan {
    /// Lays `env` over the environment of every step; later wins.
    pub fn apply_env(&mut self, env: &BTreeMap<String, String>) {
        for step in &mut self.steps {
            step.env
                .extend(env.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
    }

    /// Returns the plan as a bare v0 IR document: environment merged, images filled in.
    pub fn ir_json(&self) -> String {
        crate::ir::document(self).to_string()
    }
}

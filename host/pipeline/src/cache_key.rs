//! Keys of cached steps, by the recipe of the v0 IR.
//!
//! A key is the SHA-256, in lower-case hex, of organization, pipeline, step key, the
//! parent's cache key (`scratch` for a root) and the policy's resolution, joined by
//! NUL.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::watch::{Watch, WatchError};

/// What goes into a cache key besides the document.
#[derive(Debug, Clone, Copy)]
pub struct KeyInputs<'k> {
    /// Slug of the organization; `default` without one.
    pub org: &'k str,
    /// Now, in Unix seconds.
    pub now: u64,
    /// Project folder, to which watched paths are relative.
    pub root: &'k Path,
}

/// When a result is stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Always.
    None,
    /// When the command changes.
    Forever,
    /// Also when the next window of so many seconds begins; at least 1.
    Ttl(u64),
    /// When a watched file changes.
    OnChange(Vec<String>),
    /// When one of these says so.
    All(Vec<Policy>),
}

impl Policy {
    /// Returns the policy's name in the v0 IR.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Forever => "forever",
            Self::Ttl(_) => "ttl",
            Self::OnChange(_) => "on_change",
            Self::All(_) => "compose",
        }
    }

    /// Returns the `cache` object of the v0 IR, without a key.
    pub(crate) fn document(&self) -> Value {
        match self {
            Self::None => json!({"policy": "none"}),
            Self::Forever => json!({"policy": "forever", "env_keys": []}),
            Self::Ttl(seconds) => {
                json!({"policy": "ttl", "duration_seconds": seconds, "env_keys": []})
            }
            Self::OnChange(paths) => json!({"policy": "on_change", "paths": paths}),
            Self::All(parts) => {
                let parts: Vec<Value> = parts.iter().map(Self::document).collect();
                json!({"policy": "compose", "sub_policies": parts})
            }
        }
    }

    /// Returns what of the world the policy looks at, as text that changes with it.
    fn resolve(&self, command: &str, now: u64, watch: &mut Watch) -> Result<String, WatchError> {
        Ok(match self {
            Self::None => "none".to_owned(),
            Self::Forever => format!("forever-{}", sha256([command, "\0"])),
            Self::Ttl(seconds) => {
                let window = now / (*seconds).max(1);
                format!("ttl-{window}-{}", sha256([command, "\0"]))
            }
            Self::OnChange(paths) => {
                let hashes = watch.hashes(paths)?;
                format!(
                    "sha-{}",
                    sha256(hashes.iter().flat_map(|hash| [hash.as_str(), "\0"]))
                )
            }
            Self::All(parts) => {
                let parts: Vec<String> = parts
                    .iter()
                    .map(|part| part.resolve(command, now, watch))
                    .collect::<Result<_, _>>()?;
                format!("compose-{}", sha256(parts.iter().map(String::as_str)))
            }
        })
    }
}

/// A step whose key is wanted.
pub(crate) struct Keyed<'k> {
    pub(crate) pipeline: &'k str,
    pub(crate) step: &'k str,
    pub(crate) command: &'k str,
    /// Cache key of the `builds_in` parent; none for a root.
    pub(crate) parent: Option<&'k str>,
    pub(crate) policy: &'k Policy,
}

/// Returns the key of a step whose policy is not `none`.
///
/// # Errors
/// If a watched file cannot be read.
pub(crate) fn cache_key(
    step: &Keyed<'_>,
    inputs: &KeyInputs<'_>,
    watch: &mut Watch,
) -> Result<String, WatchError> {
    let resolution = step.policy.resolve(step.command, inputs.now, watch)?;
    let parent = step.parent.unwrap_or("scratch");
    let parts = [
        inputs.org,
        "\0",
        step.pipeline,
        "\0",
        step.step,
        "\0",
        parent,
        "\0",
        &resolution,
    ];
    Ok(sha256(parts))
}

fn sha256<'p>(parts: impl IntoIterator<Item = &'p str>) -> String {
    let mut hash = Sha256::new();
    parts
        .into_iter()
        .for_each(|part| hash.update(part.as_bytes()));
    hex::encode(hash.finalize())
}

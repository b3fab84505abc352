//! `hm cache list`: what is kept.

use jiff::Timestamp;
use serde_json::json;

use super::{Cache, Format, count};
use crate::failure::Failure;
use crate::run::{size, vm_failure};

/// List what is kept, the most recently used first
#[derive(clap::Args)]
pub(super) struct Args {
    /// How to answer
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

/// Characters of a key that people see; all of it stands in the JSON.
const KEY: usize = 12;

/// Returns the list.
pub(super) async fn run(args: &Args, cache: &Cache) -> Result<String, Failure> {
    let kept = cache.subsystem.cache_list().await.map_err(vm_failure)?;
    let (bytes, limit) = (
        cache.subsystem.cache_bytes().await.map_err(vm_failure)?,
        cache.subsystem.cache_limit(),
    );
    let engine = cache.subsystem.engine().name();
    if args.format == Format::Json {
        let snapshots: Vec<_> = kept
            .iter()
            .map(|entry| {
                json!({
                    "id": entry.id, "key": entry.key, "engine": entry.engine,
                    "bytes": entry.bytes, "layers": entry.layers, "created": time(entry.created),
                    "last_used": time(entry.last_used), "in_use": entry.in_use,
                })
            })
            .collect();
        let all = json!({
            "engine": engine, "bytes": bytes, "limit": limit, "snapshots": snapshots,
        });
        return Ok(format!("{all}\n"));
    }
    let mut text = String::new();
    for entry in &kept {
        let key: String = entry.key.chars().take(KEY).collect();
        let used = time(entry.last_used).map_or_else(String::new, |time| {
            time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
        });
        let line = format!(
            "{key:<KEY$}  {:<8}  {:>10}  {:>10}  used {used}{}",
            entry.engine,
            size(entry.bytes),
            count(entry.layers, "layer"),
            if entry.in_use { ", in use" } else { "" }
        );
        text += line.trim_end();
        text.push('\n');
    }
    text += &format!(
        "{} kept; the {engine} engine's take {} of {}\n",
        count(kept.len() as u64, "snapshot"),
        size(bytes),
        size(limit)
    );
    for other in &cache.others {
        text += &format!(
            "the {} engine's take {} of {}\n",
            other.engine().name(),
            size(other.cache_bytes().await.map_err(vm_failure)?),
            size(limit)
        );
    }
    Ok(text)
}

fn time(milliseconds: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(milliseconds).ok()
}

//! `hm cache clear`: all of it.

use hm_vm::registry::Removed;
use serde_json::json;

use super::{Cache, Format, count};
use crate::failure::Failure;
use crate::run::{size, vm_failure};

/// Remove everything that is kept; what a running hm uses goes when that ends
#[derive(clap::Args)]
pub(super) struct Args {
    /// How to answer
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

/// Removes, and tells what.
pub(super) async fn run(args: &Args, cache: &Cache) -> Result<String, Failure> {
    let (mut removed, mut used) = (Removed::default(), 0);
    for subsystem in cache.all() {
        let (more, in_use) = subsystem.cache_clear().await.map_err(vm_failure)?;
        removed.snapshots += more.snapshots;
        removed.bytes += more.bytes;
        used += in_use;
    }
    if args.format == Format::Json {
        let all = json!({
            "removed": removed.snapshots, "removed_bytes": removed.bytes, "in_use": used,
        });
        return Ok(format!("{all}\n"));
    }
    let mut text = format!(
        "removed {}, {}\n",
        count(removed.snapshots, "snapshot"),
        size(removed.bytes)
    );
    if used > 0 {
        let goes = if used == 1 { "goes" } else { "go" };
        text += &format!(
            "{} in use by a running hm {goes} when that ends\n",
            count(used, "snapshot")
        );
    }
    Ok(text)
}

//! `hm cache prune`: down to a size.

use hm_vm::registry::Removed;
use serde_json::json;

use super::{Cache, Format, count};
use crate::config::bytes;
use crate::failure::Failure;
use crate::run::{size, vm_failure};

/// Remove what was used least recently until the rest of each engine fits into a size
#[derive(clap::Args)]
pub(super) struct Args {
    /// The size, as `5GiB`; `cache.bytes` of the configuration if not given
    #[arg(long, value_name = "SIZE", value_parser = read)]
    to: Option<u64>,
    /// How to answer
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

/// Removes, and tells what.
pub(super) async fn run(args: &Args, cache: &Cache) -> Result<String, Failure> {
    let to = args.to.unwrap_or(cache.subsystem.cache_limit());
    let (mut removed, mut left, mut most) = (Removed::default(), 0, 0);
    for subsystem in cache.all() {
        let more = subsystem.cache_prune(to).await.map_err(vm_failure)?;
        removed.snapshots += more.snapshots;
        removed.bytes += more.bytes;
        let bytes = subsystem.cache_bytes().await.map_err(vm_failure)?;
        left += bytes;
        most = bytes.max(most);
    }
    if args.format == Format::Json {
        let all = json!({
            "removed": removed.snapshots, "removed_bytes": removed.bytes, "bytes": left,
        });
        return Ok(format!("{all}\n"));
    }
    let mut text = format!(
        "removed {}, {}; {} left\n",
        count(removed.snapshots, "snapshot"),
        size(removed.bytes),
        size(left)
    );
    if most > to {
        text += "what is left over the size is in use by a running hm\n";
    }
    Ok(text)
}

fn read(text: &str) -> Result<u64, String> {
    bytes(text)
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(|| format!("`{text}` is no size; write it as 512MiB, 5GiB or 0"))
}

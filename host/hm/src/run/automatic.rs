//! Which engine `auto` means: the sandbox where it works, else docker where a daemon answers.

use std::fs;
use std::sync::Arc;

use hm_vm::docker::DockerEngine;
use hm_vm::sandbox::SandboxEngine;
use hm_vm::{StateDir, VmError};

use super::machines::EngineName;
use crate::terminal::Terminal;

/// Remembers the choice until the system starts anew, in the state folder.
const NAME: &str = "engine-auto";

/// Returns what `auto` meant the last time, the sandbox if there was none.
pub(super) fn last(state: &StateDir) -> EngineName {
    let remembered = fs::read_to_string(state.root().join(NAME)).unwrap_or_default();
    match remembered.strip_prefix(&since()) {
        Some("docker") => EngineName::Docker,
        _ => EngineName::Sandbox,
    }
}

/// Finds out what `auto` means. The sandbox is waited for only where it is not known to
/// work: from the second time on this costs nothing.
pub(super) async fn choose(
    state: &StateDir,
    sandbox: &Arc<SandboxEngine>,
    docker: Result<&Arc<DockerEngine>, &VmError>,
    terminal: &Terminal,
) -> EngineName {
    let path = state.root().join(NAME);
    let works = format!("{}sandbox", since());
    if fs::read_to_string(&path).is_ok_and(|text| text == works) {
        return EngineName::Sandbox;
    }
    // A choice that cannot be remembered is made again.
    let Err(error) = sandbox.warm().await else {
        let _ = fs::write(&path, works);
        return EngineName::Sandbox;
    };
    if let Ok(docker) = docker
        && docker.warm().await.is_ok()
    {
        terminal.note(&format!(
            "the sandbox cannot be used here ({error}), so steps run on docker; `hm doctor` tells more"
        ));
        let _ = fs::write(&path, format!("{}docker", since()));
        return EngineName::Docker;
    }
    // Its own error is the one to be told.
    EngineName::Sandbox
}

/// What a choice holds for: this start of the system, this user.
fn since() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{} {} ", boot.trim(), rustix::process::geteuid().as_raw())
}

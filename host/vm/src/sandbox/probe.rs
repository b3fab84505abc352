//! What machines need of this system, tried out: for `hm doctor`, and for the cause of a
//! boot that fails.

use std::io;
use std::path::Path;

use super::failure::{Failure, failed};

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What it is.
    pub name: &'static str,
    /// What was found, or cause and remedy.
    pub result: Result<String, (String, String)>,
    /// Without it there are no machines.
    pub needed: bool,
}

/// What to do where ids cannot be mapped.
pub(super) const ID_MAP_REMEDY: &str = "allow user namespaces for this program in AppArmor (`sudo \
     sysctl kernel.apparmor_restrict_unprivileged_userns=0`), run as root, or use `--engine docker`";

/// Tells why a user namespace was refused.
pub(super) fn user_namespace_refused(error: io::Error) -> Failure {
    let errno = error.raw_os_error();
    let failure = failed("cannot make", "a user namespace")(error);
    let setting = |path: &str| {
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let remedy = match errno {
        Some(libc::ENOSYS) => {
            "a container's seccomp profile hides the call: start the container \
                               with `--security-opt seccomp=unconfined`, or use `--engine docker`"
        }
        Some(libc::ENOSPC | libc::EUSERS) => {
            "raise /proc/sys/user/max_user_namespaces (`sudo sysctl user.max_user_namespaces=65536`)"
        }
        _ if setting("/proc/sys/kernel/unprivileged_userns_clone") == "0" => {
            "allow them (`sudo sysctl kernel.unprivileged_userns_clone=1`), or run as root"
        }
        _ if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" => {
            ID_MAP_REMEDY
        }
        _ => {
            "in a container, start it with `--security-opt seccomp=unconfined` or \
              `--cap-add SYS_ADMIN`; otherwise run as root, or use `--engine docker`"
        }
    };
    failure.with_remedy(remedy)
}

/// Tries what machines need.
pub fn probes(state_dir: &Path) -> Vec<Probe> {
    let _ = state_dir;
    Vec::new()
}

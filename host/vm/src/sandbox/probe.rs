//! What machines need of this system, tried out: for `hm doctor`, and for the cause of a
//! boot that fails.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock, statvfs};

use super::cgroup::{Controller, Means};
use super::config::SandboxConfig;
use super::engine::SandboxEngine;
use super::failure::{Failure, failed};
use super::network;
use super::wire::Root;
use crate::backend::{Base, BootSpec, ExecSpec, ExecStatus, MachineOptions, Network, VmBackend};
use crate::error::VmError;
use crate::probe::Probe;
use crate::state::StateDir;

/// Less room than this and the first step fails, MiB.
const LEAST_MIB: u64 = 64;
/// The same for files.
const LEAST_FILES: u64 = 1000;

/// What to do where ids cannot be mapped.
pub(super) const ID_MAP_REMEDY: &str = "allow user namespaces for this program in AppArmor (`sudo \
     sysctl kernel.apparmor_restrict_unprivileged_userns=0`), or run as root";

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
                               with `--security-opt seccomp=unconfined`"
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
              `--cap-add SYS_ADMIN`; otherwise run as root"
        }
    };
    failure.with_remedy(remedy)
}

/// How long a trial may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tries what machines need, by the very calls that a run makes: in the spawner and in
/// machines, never in this process. What depends on something that failed is not tried.
pub async fn probes(config: &SandboxConfig) -> Vec<Probe> {
    let mut found = vec![state(&config.state_dir)];
    if found[0].result.is_err() {
        return found;
    }
    let engine = match SandboxEngine::open(config.clone()) {
        Ok(engine) => engine,
        Err(error) => return with(found, "settings", true, Err(told(&error))),
    };
    let stage = match engine.stage().await {
        Ok(stage) => stage,
        Err(error) => return with(found, "namespaces", true, Err(told(&error))),
    };
    found = with(found, "root inside", false, root(&stage.root));
    let image = if stage.bound {
        "its system folders are lent, read-only: a command cannot install packages"
    } else {
        "its root is a layer under the machine's own: commands may change anything"
    };
    found = with(found, "image `host`", false, Ok(image.to_owned()));
    let machine = trial(&engine, Network::Host).await;
    let works = machine.is_ok();
    found = with(found, "a machine", true, machine);
    if works {
        let none = trial(&engine, Network::None).await;
        found = with(found, "network `none`", false, none);
        let public = trial(&engine, Network::Public).await;
        let carriers: Vec<&str> = network::carriers().iter().map(|c| c.kind.name()).collect();
        let public = public.map(|_| format!("through {}", carriers.join(", else ")));
        found = with(found, "network `public`", false, public);
    }
    let lent: Vec<String> = stage
        .exposed
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let lent = if lent.is_empty() {
        "none".to_owned()
    } else {
        lent.join(", ")
    };
    found = with(found, "lent folders", false, Ok(lent));
    found.extend(limits(stage.pid_limit));
    engine.settle().await;
    found
}

/// Who root inside is, and what to do where it is root.
fn root(root: &Root) -> Result<String, (String, String)> {
    match root {
        Root::Nobody => Ok("nobody outside: a user namespace over id-mapped layers".to_owned()),
        Root::User => Ok("this user outside, in a user namespace".to_owned()),
        Root::Host(why) => Err((
            format!("root outside: machines protect from accidents, not from attack ({why})"),
            "run as an ordinary user; or keep state and root on ext4, xfs or btrfs, with Linux 6.3 \
             or later"
                .to_owned(),
        )),
    }
}

fn with(
    mut found: Vec<Probe>,
    name: &'static str,
    needed: bool,
    result: Result<String, (String, String)>,
) -> Vec<Probe> {
    found.push(Probe {
        name,
        result,
        needed,
    });
    found
}

/// Error and all its causes, and what to do.
fn told(error: &VmError) -> (String, String) {
    let mut cause = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(deeper) = source {
        cause = format!("{cause}: {deeper}");
        source = deeper.source();
    }
    let remedy = error
        .remedy()
        .unwrap_or_else(|| "run as root, or on a machine whose kernel allows it".to_owned());
    (cause, remedy)
}

/// The state folder: whether it is ours, takes locks, and has room.
fn state(folder: &Path) -> Probe {
    let result = StateDir::open(folder)
        .map_err(|error| told(&error))
        .and_then(|state| {
            let remedy = "set HM_STATE_DIR to a folder on a local file system".to_owned();
            let lock = File::open(state.machines())
                .and_then(|folder| Ok(flock(&folder, FlockOperation::NonBlockingLockShared)?));
            if let Err(error) = lock {
                return Err((
                    format!("{} takes no locks: {error}", folder.display()),
                    remedy,
                ));
            }
            let room = statvfs(state.root()).map_err(|error| {
                (
                    format!("{} cannot be examined: {error}", folder.display()),
                    remedy,
                )
            })?;
            let free = (room.f_bavail * room.f_frsize) >> 20;
            // Without a count, as on btrfs, there is no bound.
            if free < LEAST_MIB || (room.f_files > 0 && room.f_favail < LEAST_FILES) {
                let cause = format!(
                    "{} has {free} MiB and {} files left",
                    folder.display(),
                    room.f_favail
                );
                return Err((
                    cause,
                    "free some space there, or set HM_STATE_DIR to another disk".to_owned(),
                ));
            }
            Ok(format!("{}, {free} MiB free", state.root().display()))
        });
    Probe {
        name: "state folder",
        result,
        needed: true,
    }
}

/// Boots a machine, deletes what a lower layer holds in it, and ends it.
async fn trial(engine: &SandboxEngine, network: Network) -> Result<String, (String, String)> {
    let tried = async {
        let layer = engine.scratch_layer().await?;
        let spec = BootSpec {
            base: Base::Image("host".to_owned()),
            source: Arc::from([layer]),
            options: MachineOptions {
                network,
                ..MachineOptions::default()
            },
        };
        let machine = engine.boot(spec).await?;
        let command = "test -e probe && rm -r probe && test ! -e probe".to_owned();
        let spec = ExecSpec {
            command,
            env: BTreeMap::new(),
            working_dir: None,
            timeout: None,
            is_last: false,
        };
        let execution = machine.exec(spec).await?;
        let status = execution.status.await?;
        machine.destroy().await;
        Ok::<_, VmError>(status)
    };
    match tokio::time::timeout(PATIENCE, tried).await {
        Ok(Ok(ExecStatus::Exited(0))) => {
            Ok("boots, runs a command and deletes what a lower layer holds".to_owned())
        }
        Ok(Ok(status)) => Err((
            format!("deleting what a lower layer holds failed in a machine ({status:?})"),
            "set HM_STATE_DIR to a folder on ext4, xfs, btrfs or tmpfs".to_owned(),
        )),
        Ok(Err(error)) => Err(told(&error)),
        Err(_) => Err((
            format!(
                "a machine did not get through `rm` in {} s",
                PATIENCE.as_secs()
            ),
            "look at the kernel's log (`dmesg`) for the reason".to_owned(),
        )),
    }
}

/// What can be limited, and by what.
fn limits(pid_limit: bool) -> [Probe; 4] {
    let remedy = "run as root, or in a session whose control groups are delegated \
                  (`systemd-run --user --scope -p Delegate=yes hm …`)";
    let by = |controller: Controller, without: &str| match controller.means() {
        Means::One(_) => Ok("by control groups, version 1".to_owned()),
        Means::Two(base) => Ok(format!(
            "by control groups, version 2, in {}",
            base.display()
        )),
        Means::Processes => Err((
            format!("control groups cannot be made by this user: {without}"),
            remedy.to_owned(),
        )),
    };
    let processes = if pid_limit {
        Ok("by the process id namespace".to_owned())
    } else {
        by(
            Controller::Pids,
            "those of all machines together are limited",
        )
    };
    let memory = by(Controller::Memory, "each process is limited by itself");
    let cpus = by(
        Controller::Cpu,
        "commands start on as many as they may use, and can change that",
    );
    let probe = |name, result| Probe {
        name,
        result,
        needed: false,
    };
    [
        probe("limit on processes", processes),
        probe("limit on memory", memory),
        probe("limit on processors", cpus),
        probe("limit on disk", Ok("watched, once a second".to_owned())),
    ]
}

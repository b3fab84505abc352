//! Limits on memory and processors by control groups, of either version.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::backend::MachineOptions;
use crate::error::VmError;

const ROOT: &str = "/sys/fs/cgroup";
/// The group under which all groups of machines lie.
const OURS: &str = "hm";

/// Which control groups can be made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
    None,
}

/// The control groups of one machine. Removed by [`remove`] after its processes.
#[derive(Debug)]
pub(super) struct Cgroup {
    /// Files through which a process enters.
    pub(super) entries: Vec<PathBuf>,
    /// Where kills for want of memory are counted.
    memory_events: Option<PathBuf>,
}

impl Cgroup {
    /// Makes groups for the limits that the options ask for; none if they ask for none.
    pub(super) fn make(
        name: &str,
        options: &MachineOptions,
        pids: bool,
    ) -> Result<Option<Self>, VmError> {
        if options.memory_mib.is_none() && options.cpus.is_none() && !pids {
            return Ok(None);
        }
        let version = version();
        let made = match version {
            Version::One => make_one(name, options, pids),
            Version::Two => make_two(name, options, pids),
            Version::None => {
                // A bound on processes alone has other means, and is not worth refusing.
                return if options.memory_mib.is_some() || options.cpus.is_some() {
                    Err(unavailable(&io::Error::from(
                        io::ErrorKind::PermissionDenied,
                    )))
                } else {
                    Ok(None)
                };
            }
        };
        made.map(Some).map_err(|error| {
            remove(name);
            unavailable(&error)
        })
    }

    /// How many processes were killed for want of memory so far.
    pub(super) fn memory_kills(&self) -> u64 {
        self.memory_events
            .as_ref()
            .and_then(|file| fs::read_to_string(file).ok())
            .and_then(|text| {
                text.lines()
                    .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
            })
            .unwrap_or(0)
    }
}

fn unavailable(error: &io::Error) -> VmError {
    VmError::Unavailable {
        cause: format!(
            "limits on memory and processors need control groups, which cannot be made under {ROOT}: {error}"
        ),
        remedy: "run as root, or take the limits out".to_owned(),
    }
}

/// Which version can be used by this process.
pub(super) fn version() -> Version {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").exists() {
        let listed = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        if listed.split_whitespace().any(|name| name == "memory") && writable(root) {
            return Version::Two;
        }
    } else if ["memory", "pids", "cpu"]
        .iter()
        .all(|name| writable(&root.join(name)))
    {
        return Version::One;
    }
    Version::None
}

fn writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}

fn make_one(name: &str, options: &MachineOptions, pids: bool) -> io::Result<Cgroup> {
    let mut cgroup = Cgroup {
        entries: Vec::new(),
        memory_events: None,
    };
    let mut enter = |controller: &str| -> io::Result<PathBuf> {
        let folder = Path::new(ROOT).join(controller).join(OURS).join(name);
        make(&folder)?;
        cgroup.entries.push(folder.join("cgroup.procs"));
        Ok(folder)
    };
    let mut memory_events = None;
    if let Some(memory) = options.memory_mib {
        let folder = enter("memory")?;
        let bytes = (u64::from(memory) << 20).to_string();
        fs::write(folder.join("memory.limit_in_bytes"), &bytes)?;
        // With swap counted too, where that is counted at all.
        let _ = fs::write(folder.join("memory.memsw.limit_in_bytes"), &bytes);
        memory_events = Some(folder.join("memory.oom_control"));
    }
    if let Some(cpus) = options.cpus {
        let folder = enter("cpu")?;
        fs::write(folder.join("cpu.cfs_period_us"), "100000")?;
        fs::write(
            folder.join("cpu.cfs_quota_us"),
            (u64::from(cpus) * 100_000).to_string(),
        )?;
    }
    if pids {
        let folder = enter("pids")?;
        fs::write(folder.join("pids.max"), options.processes.to_string())?;
    }
    cgroup.memory_events = memory_events;
    Ok(cgroup)
}

fn make_two(name: &str, options: &MachineOptions, pids: bool) -> io::Result<Cgroup> {
    let root = Path::new(ROOT);
    let ours = root.join(OURS);
    make(&ours)?;
    for folder in [root, &ours] {
        for controller in ["memory", "cpu", "pids"] {
            fs::write(
                folder.join("cgroup.subtree_control"),
                format!("+{controller}"),
            )?;
        }
    }
    let folder = ours.join(name);
    make(&folder)?;
    if let Some(memory) = options.memory_mib {
        fs::write(
            folder.join("memory.max"),
            (u64::from(memory) << 20).to_string(),
        )?;
        let _ = fs::write(folder.join("memory.swap.max"), "0");
    }
    if let Some(cpus) = options.cpus {
        fs::write(
            folder.join("cpu.max"),
            format!("{} 100000", u64::from(cpus) * 100_000),
        )?;
    }
    if pids {
        fs::write(folder.join("pids.max"), options.processes.to_string())?;
    }
    Ok(Cgroup {
        entries: vec![folder.join("cgroup.procs")],
        memory_events: options.memory_mib.map(|_| folder.join("memory.events")),
    })
}

/// Makes a group and the one above it, which another process may be removing.
fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder).or_else(|_| fs::create_dir_all(folder))
}

/// Removes a machine's groups, if it has any, and the group above with the last of them.
/// Its processes must be gone.
pub(super) fn remove(name: &str) {
    for controller in ["memory", "cpu", "pids", ""] {
        let ours = Path::new(ROOT).join(controller).join(OURS);
        let folder = ours.join(name);
        if !folder.is_dir() {
            continue;
        }
        match fs::remove_dir(&folder) {
            Ok(()) => drop(fs::remove_dir(&ours)),
            Err(error) => tracing::debug!(folder = %folder.display(), %error, "cannot remove"),
        }
    }
}

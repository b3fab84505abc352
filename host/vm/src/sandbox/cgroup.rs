//! Limits on memory, processors and processes: control groups of either version where this
//! user can make them, the limits of processes where not.
//!
//! What holds is found for each controller by itself, as version 1 has a hierarchy for each
//! and a container may have any part of them. In version 2 a group can be made wherever
//! this process may write and its parents have handed the controller down: at the root for
//! root, in a user's own slice where systemd has delegated it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::backend::MachineOptions;
use crate::error::VmError;

const ROOT: &str = "/sys/fs/cgroup";
/// The group under which all groups of machines lie.
const OURS: &str = "hm";

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Cpu,
    Pids,
}

/// By what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Means {
    /// Groups below this folder, of version 1.
    One(PathBuf),
    /// Groups below this folder, of version 2.
    Two(PathBuf),
    /// Nothing but what each process is held to.
    Processes,
}

const ALL: [Controller; 3] = [Controller::Memory, Controller::Cpu, Controller::Pids];

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }

    /// Returns by what it is limited here; found out once.
    pub(super) fn means(self) -> &'static Means {
        static FOUND: OnceLock<[Means; 3]> = OnceLock::new();
        let found = FOUND.get_or_init(|| ALL.map(find));
        match self {
            Self::Memory => &found[0],
            Self::Cpu => &found[1],
            Self::Pids => &found[2],
        }
    }
}

impl Means {
    fn ours(&self) -> Option<PathBuf> {
        match self {
            Self::One(base) | Self::Two(base) => Some(base.join(OURS)),
            Self::Processes => None,
        }
    }
}

fn find(controller: Controller) -> Means {
    let first = Path::new(ROOT).join(controller.name());
    if first.join("cgroup.procs").exists() {
        return if writable(&first) {
            Means::One(first)
        } else {
            Means::Processes
        };
    }
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default();
    // From the root down: the higher, the more steps share it whoever starts them.
    let mut base = PathBuf::from(ROOT);
    let mut bases = vec![base.clone()];
    for part in Path::new(own) {
        base.push(part);
        bases.push(base.clone());
    }
    bases
        .into_iter()
        .find(|base| hands_down(base, controller.name()))
        .map_or(Means::Processes, Means::Two)
}

/// Whether groups below a folder can have a controller, which is handed down if need be.
fn hands_down(base: &Path, controller: &str) -> bool {
    // Processes are moved by whoever may write to the group above both places.
    if !writable(base) || !writable(&base.join("cgroup.procs")) {
        return false;
    }
    let has = |folder: &Path, file: &str| {
        fs::read_to_string(folder.join(file))
            .is_ok_and(|text| text.split_whitespace().any(|name| name == controller))
    };
    if !has(base, "cgroup.controllers") {
        return false;
    }
    let ours = base.join(OURS);
    if !has(base, "cgroup.subtree_control") {
        // Refused where processes live in the group itself, unless it is the root.
        let _ = hand_down(base, controller);
    }
    has(base, "cgroup.subtree_control")
        && make(&ours).is_ok()
        && (has(&ours, "cgroup.subtree_control") || hand_down(&ours, controller).is_ok())
}

fn hand_down(folder: &Path, controller: &str) -> io::Result<()> {
    fs::write(
        folder.join("cgroup.subtree_control"),
        format!("+{controller}"),
    )
}

fn writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// The control groups of one machine. Removed by [`remove`] after its processes.
#[derive(Debug, Default)]
pub(super) struct Cgroup {
    /// Files through which a process enters.
    pub(super) entries: Vec<PathBuf>,
    /// Where kills for want of memory are counted.
    memory_events: Option<PathBuf>,
}

impl Cgroup {
    /// Makes groups for the limits that the options ask for, as far as groups can be had;
    /// `pids` says whether that of processes needs one.
    pub(super) fn make(name: &str, options: &MachineOptions, pids: bool) -> Result<Self, VmError> {
        let mut group = Self::default();
        let made = [
            (Controller::Memory, options.memory_mib.is_some()),
            (Controller::Cpu, options.cpus.is_some()),
            (Controller::Pids, pids),
        ]
        .into_iter()
        .filter(|(_, wanted)| *wanted)
        .try_for_each(|(controller, _)| group.add(controller, name, options));
        match made {
            Ok(()) => Ok(group),
            Err(error) => {
                remove(name);
                Err(VmError::Unavailable {
                    cause: format!("a control group under {ROOT} cannot be made: {error}"),
                    remedy: "run as root, or take the limits out of `[vm]` in the configuration"
                        .to_owned(),
                })
            }
        }
    }

    fn add(
        &mut self,
        controller: Controller,
        name: &str,
        options: &MachineOptions,
    ) -> io::Result<()> {
        let means = controller.means();
        let Some(ours) = means.ours() else {
            return Ok(());
        };
        let folder = ours.join(name);
        make(&folder)?;
        if let Means::Two(base) = means {
            // Whoever removed the group above, as its last machine had gone, has taken this
            // with it.
            let name = controller.name();
            if !folder.join(format!("{name}.max")).exists() {
                hand_down(base, name).or_else(|_| hand_down(&ours, name))?;
                hand_down(&ours, name)?;
            }
        }
        let entry = folder.join("cgroup.procs");
        if !self.entries.contains(&entry) {
            self.entries.push(entry);
        }
        let set = |file: &str, value: String| fs::write(folder.join(file), value);
        let one = matches!(means, Means::One(_));
        match controller {
            Controller::Memory => {
                let bytes = options.memory_mib.map_or(0, |mib| u64::from(mib) << 20);
                if one {
                    set("memory.limit_in_bytes", bytes.to_string())?;
                    // With swap counted too, where that is counted at all.
                    let _ = set("memory.memsw.limit_in_bytes", bytes.to_string());
                    self.memory_events = Some(folder.join("memory.oom_control"));
                } else {
                    set("memory.max", bytes.to_string())?;
                    let _ = set("memory.swap.max", "0".to_owned());
                    self.memory_events = Some(folder.join("memory.events"));
                }
            }
            Controller::Cpu => {
                // Microseconds of processor time in a tenth of a second.
                let quota = u64::from(options.cpus.unwrap_or(1)) * 100_000;
                if one {
                    set("cpu.cfs_period_us", "100000".to_owned())?;
                    set("cpu.cfs_quota_us", quota.to_string())?;
                } else {
                    set("cpu.max", format!("{quota} 100000"))?;
                }
            }
            Controller::Pids => set("pids.max", options.processes.to_string())?,
        }
        Ok(())
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

/// Makes a group and the one above it, which another process may be removing.
fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder).or_else(|_| fs::create_dir_all(folder))
}

/// Removes a machine's groups, if it has any, and the group above with the last of them.
/// Its processes must be gone.
pub(super) fn remove(name: &str) {
    for ours in ALL
        .iter()
        .filter_map(|controller| controller.means().ours())
    {
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

/// What each process is held to where there is no group for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct PerProcess {
    /// Bytes of memory that it writes to.
    pub(super) memory: Option<u64>,
    /// Processors that it starts on.
    pub(super) cpus: Option<u32>,
    /// Processes of all machines of this run together.
    pub(super) processes: Option<u32>,
}

impl PerProcess {
    /// Returns what groups do not hold a machine to.
    pub(super) fn of(options: &MachineOptions, pids: bool) -> Self {
        let only = |controller: Controller| *controller.means() == Means::Processes;
        Self {
            memory: options
                .memory_mib
                .filter(|_| only(Controller::Memory))
                .map(|mib| u64::from(mib) << 20),
            cpus: options.cpus.filter(|_| only(Controller::Cpu)),
            processes: (pids && only(Controller::Pids)).then_some(options.processes),
        }
    }
}

//! The processes of a machine, as its first process sees them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

/// A process of this machine.
struct Process {
    parent: i32,
    session: i32,
}

/// Everything that stems from a command, while others run beside it: its session, all
/// below that, and what has lost its parent and still writes to the command's outputs.
pub(super) fn stemming_from(leader: i32, outputs: &[(u64, u64)], others: &[i32]) -> Vec<i32> {
    let table = table();
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, process) in &table {
        children.entry(process.parent).or_default().push(*pid);
    }
    let mut spared = HashSet::new();
    for other in others {
        below(*other, &children, &mut spared);
    }
    spared.extend(
        table
            .iter()
            .filter(|(_, process)| others.contains(&process.session))
            .map(|(pid, _)| *pid),
    );
    let mut found = HashSet::new();
    for (pid, process) in &table {
        let orphan = process.parent == 1 && !spared.contains(pid);
        if process.session == leader || (orphan && holds(*pid, outputs)) {
            below(*pid, &children, &mut found);
        }
    }
    found
        .into_iter()
        .filter(|pid| !spared.contains(pid))
        .collect()
}

/// Tells whether the machine has as many processes as it may have, however that is limited:
/// tries to start one.
pub(super) fn none_can_start() -> bool {
    // SAFETY: this process has one thread, and the child does nothing but end.
    match unsafe { libc::fork() } {
        // SAFETY: ends this process, which shares nothing with the other.
        0 => unsafe { libc::_exit(0) },
        -1 => io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN),
        child => {
            // SAFETY: waits for the child above, into nothing.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            false
        }
    }
}

fn below(root: i32, children: &HashMap<i32, Vec<i32>>, found: &mut HashSet<i32>) {
    let mut pending = vec![root];
    while let Some(pid) = pending.pop() {
        if found.insert(pid) {
            pending.extend(children.get(&pid).into_iter().flatten());
        }
    }
}

/// All but this process and those that have ended.
fn table() -> HashMap<i32, Process> {
    let mut table = HashMap::new();
    let Ok(entries) = fs::read_dir("/proc") else {
        return table;
    };
    for entry in entries.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        if pid == 1 {
            continue;
        }
        // Fields follow the name, which may hold anything but ends at the last bracket.
        let Ok(text) = fs::read(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let text = String::from_utf8_lossy(&text);
        let Some((_, fields)) = text.rsplit_once(')') else {
            continue;
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |index: usize| fields.get(index).and_then(|field| field.parse().ok());
        if let (Some(state), Some(parent), Some(session)) = (fields.first(), number(1), number(3))
            && *state != "Z"
            && *state != "X"
        {
            table.insert(pid, Process { parent, session });
        }
    }
    table
}

/// Tells whether a process has one of these files open.
fn holds(pid: i32, files: &[(u64, u64)]) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    entries
        .flatten()
        .filter_map(|entry| fs::metadata(entry.path()).ok())
        .any(|found| files.contains(&(found.dev(), found.ino())))
}

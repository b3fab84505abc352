//! What a run left behind: processes, mounts, machines, temporary files.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The kernel takes a process namespace down on its own time after the last look at it.
const GRACE: Duration = Duration::from_secs(5);

/// Checks that no process, mount or machine of a state folder is left.
///
/// # Panics
/// If something is.
#[track_caller]
pub fn assert_nothing_left(state: &Path) {
    let deadline = Instant::now() + GRACE;
    loop {
        let left = left(state);
        if left.is_empty() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "left behind:\n{}",
            left.join("\n")
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns everything of a state folder that lives longer than a run should.
fn left(state: &Path) -> Vec<String> {
    let name = state.to_str().expect("made by a test");
    let mut left: Vec<_> = processes_with(name);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    left.extend(
        mounts
            .lines()
            .filter(|line| line.contains(name))
            .map(|line| format!("mount {line}")),
    );
    let temporary = state.with_file_name("tmp");
    let entries = fs::read_dir(temporary).into_iter().flatten().flatten();
    left.extend(entries.map(|entry| format!("{}", entry.path().display())));
    for folder in ["machines", "layers/live"] {
        let entries = fs::read_dir(state.join(folder))
            .into_iter()
            .flatten()
            .flatten();
        left.extend(entries.map(|entry| format!("{}", entry.path().display())));
    }
    left
}

/// Returns the processes, but for this one, whose command line, environment or mounts hold a
/// text.
pub fn processes_with(text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    let ids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let others = ids.filter(|id| *id != std::process::id());
    others
        .filter_map(|id| {
            let folder = format!("/proc/{id}");
            let holds = |name: &str| {
                // It may have gone meanwhile.
                let bytes = fs::read(format!("{folder}/{name}")).unwrap_or_default();
                bytes
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
            };
            let place = ["cmdline", "environ", "mountinfo"]
                .into_iter()
                .find(|name| holds(name))?;
            let command = fs::read(format!("{folder}/cmdline")).unwrap_or_default();
            // A process that has ended has no command line, and is nobody's burden but its
            // parent's, who may be this very test.
            if command.is_empty() {
                return None;
            }
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            Some(format!("process {id} (by its {place}): {command}"))
        })
        .collect()
}

//! The scripts around commands, and what they are told.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::image::Image;
use crate::backend::ExecSpec;
use crate::error::VmError;

/// In the first line of every first process of a container of ours; the scripts kill nothing
/// where it is not.
const MACHINE: &str = ": hm-machine";

/// The scripts without their comments, which would be in every list of processes.
static AROUND: LazyLock<String> = LazyLock::new(|| bare(include_str!("command.sh")));
static KILL: LazyLock<String> = LazyLock::new(|| bare(include_str!("kill.sh")));

/// Longest single argument that the kernel takes, with its terminator (`MAX_ARG_STRLEN`).
const LONGEST: usize = 128 << 10;

/// Names that shells keep for themselves, so that `export` would fail or do harm.
const SHELLS_OWN: [&str; 12] = [
    "BASHOPTS",
    "BASH_VERSINFO",
    "BASH_ENV",
    "ENV",
    "EUID",
    "IFS",
    "OPTIND",
    "PATH",
    "POSIXLY_CORRECT",
    "PPID",
    "SHELLOPTS",
    "UID",
];

fn bare(script: &str) -> String {
    let lines = script
        .lines()
        .filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

/// How a command is started.
#[derive(Debug, Clone)]
pub(super) struct Around {
    /// Program and arguments.
    pub(super) argv: Vec<String>,
    /// By which `kill.sh` finds it.
    pub(super) mark: String,
}

/// Returns whether a command's variables can go in by `export`: the container's own
/// environment would be handed on by a commit.
pub(super) fn can_export(env: &BTreeMap<String, String>) -> bool {
    env.keys().all(|name| {
        let mut letters = name.bytes();
        letters
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
            && !name.starts_with("hm_")
            && !SHELLS_OWN.contains(&name.as_str())
    })
}

/// Puts the script around a command. `exports` says that its variables come by standard
/// input ([`exported`]), `came_before` that there were other commands on the machine.
///
/// # Errors
/// [`VmError::Other`] for what no process can be given.
pub(super) fn around(
    spec: &ExecSpec,
    image: &Image,
    exports: bool,
    came_before: bool,
) -> Result<Around, VmError> {
    check("the command", &spec.command)?;
    for (name, value) in &spec.env {
        check(&format!("the variable {name}"), &format!("{name}={value}"))?;
    }
    let mark = uuid::Uuid::new_v4().simple().to_string();
    let mut letters = String::new();
    if came_before {
        letters.push('a');
    }
    if !image.sets("HOSTNAME") && !spec.env.contains_key("HOSTNAME") {
        letters.push('h');
    }
    if exports {
        letters.push('e');
    }
    let script = format!("{MACHINE} {mark}\n{}", *AROUND);
    let mut argv = shell(script);
    argv.extend([letters, spec.command.clone()]);
    Ok(Around { argv, mark })
}

/// Returns variables as the script reads them: a line each, as `printf` takes them.
pub(super) fn exported(env: &BTreeMap<String, String>) -> Vec<u8> {
    let mut text = String::new();
    for pair in pairs(env) {
        text += &pair.replace('\\', "\\\\").replace('\n', "\\n");
        text.push('\n');
    }
    text += ".\n";
    text.into_bytes()
}

/// Returns what a container runs that is there for others.
pub(super) fn idle() -> Vec<String> {
    shell(format!("{MACHINE}\nwhile :; do sleep 1000; done"))
}

/// Returns what sends a signal to all of a command.
pub(super) fn kill(mark: &str, signal: &str) -> Vec<String> {
    let mut argv = shell(KILL.clone());
    argv.extend([mark.to_owned(), signal.to_owned()]);
    argv
}

/// Returns variables as the daemon takes them.
pub(super) fn pairs(env: &BTreeMap<String, String>) -> Vec<String> {
    env.iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn shell(script: String) -> Vec<String> {
    vec!["/bin/sh".into(), "-c".into(), script, "sh".into()]
}

fn check(what: &str, text: &str) -> Result<(), VmError> {
    if text.contains('\0') {
        return Err(VmError::Other(format!("{what} contains a NUL character")));
    }
    if text.len() >= LONGEST {
        return Err(VmError::Other(format!(
            "{what} is {} bytes long; at most {} can be passed to a process",
            text.len(),
            LONGEST - 1
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_every_shell_takes_are_exported() {
        let can = |name: &str| can_export(&BTreeMap::from([(name.to_owned(), String::new())]));
        assert!(can("A") && can("_x1") && can("HOSTNAME"));
        for name in ["1A", "a.b", "a-b", "UID", "IFS", "hm_pid", "PATH", ""] {
            assert!(!can(name), "{name}");
        }
    }

    #[test]
    fn variables_are_lines() {
        let env = BTreeMap::from([("A".to_owned(), " b\\n\nc\n".to_owned())]);
        assert_eq!(exported(&env), b"A= b\\\\n\\nc\\n\n.\n");
    }

    #[test]
    fn scripts_carry_no_comments_and_all_marks() {
        assert!(
            !AROUND.contains("# ") && !KILL.contains("# "),
            "{}",
            *AROUND
        );
        assert!(AROUND.contains("*hm-machine*") && KILL.contains("*hm-machine*"));
        assert!(idle()[2].starts_with(": hm-machine\n"));
    }
}

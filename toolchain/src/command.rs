//! Runs programs and keeps what they print for the error.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use crate::ToolchainError;

/// Lines of output that an error carries; a compiler's verdict stands at the end.
const KEPT_LINES: usize = 60;

/// What an outer cargo sets for what it runs, and would lead an inner one astray: the
/// wrong compiler, flags for another target, a lock or a job server that both wait for.
const OUTER_CARGO: &[&str] = &[
    "RUSTC",
    "RUSTDOC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_LINKER",
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_ENCODED_RUSTDOCFLAGS",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_BUILD_DIR",
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_MAKEFLAGS",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_UNSTABLE_BUILD_STD",
    "MAKEFLAGS",
    "MFLAGS",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
    "LD_LIBRARY_PATH",
    "TARGET",
    "HOST",
    "OUT_DIR",
];

/// Returns a command that sees the toolchain that is active here.
pub(crate) fn active(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

/// Returns a command without the variables of an outer cargo.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = active(program);
    for variable in OUTER_CARGO {
        command.env_remove(variable);
    }
    command
}

/// Runs `command` to its end and returns what it printed to its standard output.
pub(crate) fn run(command: &mut Command) -> Result<String, ToolchainError> {
    let output = command.output().map_err(|source| ToolchainError::Spawn {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(ToolchainError::Failed {
        command: shown(command),
        status: output.status.to_string(),
        output: tail(&output),
    })
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

fn tail(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(KEPT_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_command_status_and_the_end_of_the_output() {
        let script = "seq 1 1000; echo broken >&2; exit 3";
        let error = run(command("sh").args(["-c", script]))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("`sh -c seq"), "{error}");
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.ends_with("1000\nbroken"), "{error}");
        assert!(!error.contains("\n900\n"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut command("/nonexistent/cargo")).unwrap_err();
        assert_eq!(error.to_string(), "cannot run `/nonexistent/cargo`");
    }
}

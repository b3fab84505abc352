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
static SERVE: LazyLock<String> = LazyLock::new(|| bare(include_str!("serve.sh")));

/// Longest single argument that the kernel takes, with its terminator (`MAX_ARG_STRLEN`).
const LONGEST: usize = 128 << 10;

/// Largest request to a first process, which reads it byte by byte; more goes by `exec`.
const MOST_HANDED: usize = 16 << 10;

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

/// A command as a container's first process takes it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
    /// What it prints, with the exit code, when the command has ended.
    pub(super) mark: String,
}

/// What was or is on a machine beside a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Company {
    /// There were other commands.
    pub(super) came_before: bool,
    /// There still are.
    pub(super) is_there: bool,
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
/// input ([`exported`]).
///
/// # Errors
/// [`VmError::Other`] for what no process can be given.
pub(super) fn around(
    spec: &ExecSpec,
    image: &Image,
    exports: bool,
    company: Company,
) -> Result<Around, VmError> {
    check("the command", &spec.command)?;
    for (name, value) in &spec.env {
        check(&format!("the variable {name}"), &format!("{name}={value}"))?;
    }
    let mark = fresh_mark();
    let mut letters = letters(spec, image, company.came_before);
    if exports {
        letters.push('e');
    }
    if company.is_there {
        letters.push('o');
    }
    let script = format!("{MACHINE} {mark}\n{}", *AROUND);
    let mut argv = shell(script);
    argv.extend([letters, spec.command.clone()]);
    Ok(Around { argv, mark })
}

/// Returns what hands a command to a first process that runs [`serve`]; none for one that
/// it cannot take.
pub(super) fn request(spec: &ExecSpec, image: &Image, came_before: bool) -> Option<Request> {
    if spec.working_dir.is_some() || !can_export(&spec.env) {
        return None;
    }
    let mut variables = String::new();
    for (name, value) in &spec.env {
        let quoted = value.replace('\'', "'\\''");
        variables += &format!("export {name}='{quoted}'\n");
    }
    let mark = fresh_mark();
    let letters = letters(spec, image, came_before);
    let text = format!(
        "{mark} {letters}\n{}\n{}\n",
        line(&variables),
        line(&spec.command)
    );
    (text.len() <= MOST_HANDED).then(|| Request {
        bytes: text.into_bytes(),
        mark,
    })
}

/// Writes a text as one line for `printf %b`. Bytes that some shells keep for their own
/// purposes are written as numbers.
fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'\\' => line.push_str("\\\\"),
            b' '..=b'~' | b'\t' => line.push(char::from(byte)),
            _ => line.push_str(&format!("\\0{byte:03o}")),
        }
    }
    line
}

fn fresh_mark() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// What the scripts do beside running the command.
fn letters(spec: &ExecSpec, image: &Image, came_before: bool) -> String {
    let mut letters = String::new();
    if came_before {
        letters.push('a');
    }
    if !image.sets("HOSTNAME") && !spec.env.contains_key("HOSTNAME") {
        letters.push('h');
    }
    letters
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

/// Returns what a container runs that takes several commands.
pub(super) fn serve() -> Vec<String> {
    shell(format!("{MACHINE}\n{}", *SERVE))
}

/// Returns what sends a signal to all of a command: that of a mark, or the one that the
/// first process runs. `beside` says that this one runs another, which is to be spared.
pub(super) fn kill(mark: Option<&str>, signal: &str, beside: bool) -> Vec<String> {
    let mut argv = shell(KILL.clone());
    argv.extend([mark.unwrap_or("1"), signal, if beside { "o" } else { "" }].map(str::to_owned));
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
    fn a_request_is_three_lines_of_plain_letters() {
        assert_eq!(line("a\\n'\n\tÁ"), "a\\\\n'\\0012\t\\0303\\0201");
        let spec = ExecSpec {
            command: "echo \"$A\"\n".to_owned(),
            env: BTreeMap::from([("A".to_owned(), "it's".to_owned())]),
            working_dir: None,
            timeout: None,
            is_last: false,
        };
        let made = request(&spec, &Image::default(), true).expect("it is taken");
        let text = String::from_utf8(made.bytes).expect("letters");
        let expected = "export A='it'\\\\''s'\\0012\necho \"$A\"\\0012\n";
        assert_eq!(text, format!("{} ah\n{expected}", made.mark));
        for other in [
            ExecSpec {
                working_dir: Some("deep".to_owned()),
                ..spec.clone()
            },
            ExecSpec {
                command: "x".repeat(MOST_HANDED),
                ..spec.clone()
            },
            ExecSpec {
                env: BTreeMap::from([("odd.name".to_owned(), String::new())]),
                ..spec
            },
        ] {
            assert!(request(&other, &Image::default(), true).is_none());
        }
    }

    #[test]
    fn scripts_carry_no_comments_and_all_marks() {
        for script in [&*AROUND, &*KILL, &*SERVE] {
            assert!(!script.contains("# "), "{script}");
        }
        assert!(AROUND.contains("*hm-machine*") && KILL.contains("*hm-machine*"));
        assert!(serve()[2].starts_with(": hm-machine\n"));
    }
}

//! The few words of `sh` that the kit's commands consist of.

use std::time::Duration;

/// What a command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) takes: Duration,
    pub(crate) end: End,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Code(i32),
    Signal(u32),
}

/// Reads a command: words between `;`, of which each is `true`, `exit N`, `sleep SECONDS`,
/// `kill -N $$`, `seq 1 N`, or `printf 'TEXT'`, which may go to `>&2`. What else there is
/// ends as a shell ends what it does not know.
pub(crate) fn read(command: &str) -> Script {
    let mut script = Script {
        stdout: Vec::new(),
        stderr: Vec::new(),
        takes: Duration::ZERO,
        end: End::Code(0),
    };
    for words in split(command) {
        let words = words.trim();
        let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
        match word {
            "" | "true" | ":" => {}
            "exit" => {
                script.end = End::Code(rest.trim().parse().unwrap_or(2));
                return script;
            }
            "kill" => {
                let signal = rest.split_whitespace().next().unwrap_or_default();
                let signal = signal.trim_start_matches('-').parse().unwrap_or(15);
                script.end = End::Signal(signal);
                return script;
            }
            "sleep" => {
                let seconds = rest.trim().parse().unwrap_or_default();
                script.takes += Duration::from_secs_f64(seconds);
            }
            "seq" => {
                let last = rest.split_whitespace().last().unwrap_or_default();
                for number in 1..=last.parse().unwrap_or(0_u32) {
                    script.stdout.extend(format!("{number}\n").into_bytes());
                }
            }
            "printf" => match rest.strip_suffix(">&2") {
                Some(text) => script.stderr.extend(unquoted(text)),
                None => script.stdout.extend(unquoted(rest)),
            },
            _ => {
                script
                    .stderr
                    .extend(format!("{word}: not found\n").into_bytes());
                script.end = End::Code(127);
                return script;
            }
        }
    }
    script
}

/// Splits at the `;` and line ends that are in no quotes; comments end a line.
fn split(command: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut is_quoted, mut is_comment) = (false, false);
    for char in command.chars() {
        match char {
            '\'' if !is_comment => is_quoted = !is_quoted,
            '#' if !is_quoted && parts.last().is_some_and(|part| part.trim().is_empty()) => {
                is_comment = true;
            }
            '\n' if !is_quoted => is_comment = false,
            _ => {}
        }
        match (char, parts.last_mut()) {
            (';', _) if !is_quoted && !is_comment => parts.push(String::new()),
            ('\n', _) if !is_quoted => parts.push(String::new()),
            (_, Some(part)) if !is_comment => part.push(char),
            _ => {}
        }
    }
    parts
}

/// Takes the quotes off, and reads `\n`.
fn unquoted(text: &str) -> Vec<u8> {
    text.trim()
        .trim_matches('\'')
        .replace("\\n", "\n")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kits_commands_are_read_as_a_shell_reads_them() {
        let script = read("printf 'a;b\\n'; printf 'c\\n' >&2; sleep 0.5; exit 3; true");
        assert_eq!(script.stdout, b"a;b\n");
        assert_eq!(script.stderr, b"c\n");
        assert_eq!(script.takes, Duration::from_millis(500));
        assert_eq!(script.end, End::Code(3));
        assert_eq!(read("kill -9 $$").end, End::Signal(9));
        assert_eq!(read("seq 1 3").stdout, b"1\n2\n3\n");
        assert_eq!(read("# a ; comment\ntrue").end, End::Code(0));
        assert_eq!(read("make").end, End::Code(127));
    }
}

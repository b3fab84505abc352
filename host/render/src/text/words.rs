//! The words in which a person reads times, counts and ways to end.

use std::borrow::Cow;

use hm_plugin_protocol::{BuildRef, Level, StepStatus};

/// Returns a time as a person says it: `850ms`, `1.2s`, `1m 05s`, `2h 03m`.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}.{}s", ms % 1000 / 100),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Returns a running time: like [`duration`], but steady in its unit below a minute.
pub(crate) fn elapsed(ms: u64) -> String {
    if ms < 1000 {
        format!("0.{}s", ms / 100)
    } else {
        duration(ms)
    }
}

/// Returns `count` with the noun in its number.
pub(crate) fn count(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Returns the status in plain words.
pub(crate) fn status(status: StepStatus) -> &'static str {
    match status {
        StepStatus::CacheHit => "cached",
        StepStatus::TimedOut => "timed out",
        other => other.as_str(),
    }
}

/// Returns the command that watches a build, if a service has numbered it.
pub(crate) fn watching(command: Option<&str>, build: &BuildRef) -> Option<String> {
    let (command, number) = (command?, build.number?);
    Some(format!("{command} -p {} {number}", build.pipeline))
}

/// Returns the word for a notice's level.
pub(crate) fn level(level: Level) -> &'static str {
    match level {
        Level::Info => "note",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

/// Returns an exit code, with what it commonly means where it is no code of the
/// program's own: 126 and 127 are the shell's, 128 + n is signal n.
pub(crate) fn exit_code(code: i32) -> Cow<'static, str> {
    let meaning = match code {
        126 => "cannot be executed",
        127 => "command not found",
        129 => "SIGHUP",
        130 => "SIGINT",
        131 => "SIGQUIT",
        132 => "SIGILL",
        134 => "SIGABRT",
        135 => "SIGBUS",
        136 => "SIGFPE",
        137 => "SIGKILL",
        139 => "SIGSEGV",
        141 => "SIGPIPE",
        143 => "SIGTERM",
        _ => return format!("exit {code}").into(),
    };
    format!("exit {code} ({meaning})").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well_at_every_size() {
        let said: Vec<_> = [0, 850, 1_250, 59_999, 65_000, 7_380_000]
            .map(duration)
            .into();
        assert_eq!(said, ["0ms", "850ms", "1.2s", "59.9s", "1m 05s", "2h 03m"]);
        assert_eq!(elapsed(120), "0.1s");
    }
}

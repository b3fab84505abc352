//! Flags that every command takes, and readers of values that several flags share.

use std::time::Duration;

use crate::terminal::{Color, Terminal};

/// Flags before or after any command.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Global {
    /// Say more: every step's log, and what the backend and the host log
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say only what went wrong, and the verdict
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// When to write colours; `NO_COLOR` and `CLICOLOR_FORCE` are honoured too
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide = true
    )]
    color: Color,
    /// The same as `--color never`
    #[arg(long, global = true, hide = true)]
    no_color: bool,
}

impl Global {
    /// Looks at the terminal with these flags in mind.
    pub(crate) fn terminal(&self) -> Terminal {
        Terminal::detect(if self.no_color {
            Color::Never
        } else {
            self.color
        })
    }
}

/// Reads a duration as `90s`, `30m`, `1h30m` or, in seconds, `90`.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("`{text}` is no duration; write it as 90s, 30m or 1h30m");
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<u64>() {
        return positive(Duration::from_secs(seconds), text);
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..]
            .bytes()
            .take_while(u8::is_ascii_alphabetic)
            .count();
        let number: u64 = rest[..digits].parse().map_err(|_| expected())?;
        let milliseconds = match &rest[digits..digits + letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(expected()),
        };
        let part = number
            .checked_mul(milliseconds)
            .map(Duration::from_millis)
            .ok_or_else(expected)?;
        total = total.checked_add(part).ok_or_else(expected)?;
        rest = rest[digits + letters..].trim_start();
    }
    positive(total, text)
}

/// A year is longer than any build, and far from where clocks overflow.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

fn positive(duration: Duration, text: &str) -> Result<Duration, String> {
    if duration.is_zero() {
        Err("a build needs some time: the shortest is 1ms".into())
    } else if duration > LONGEST {
        Err(format!("`{text}` is longer than a year"))
    } else {
        Ok(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, milliseconds) in [
            ("90", 90_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("1d 1s", 86_401_000),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "0",
            "0s",
            "m",
            "5x",
            "-1",
            "1h30",
            "99999999999d",
            "1,5h",
            "é",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}

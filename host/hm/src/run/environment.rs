//! `--env-file` and `-e`: what is laid over the environment of every step.

use std::collections::BTreeMap;
use std::path::Path;

use crate::failure::{Exit, Failure};

/// Reads the files in their order, then the entries; later wins.
///
/// # Errors
/// Usage, with everything that is no `KEY=VALUE`.
pub(super) fn read(
    files: &[impl AsRef<Path>],
    entries: &[String],
) -> Result<BTreeMap<String, String>, Failure> {
    let mut env = BTreeMap::new();
    let mut problems = Vec::new();
    for file in files {
        let file = file.as_ref();
        let text = std::fs::read_to_string(file).map_err(|error| {
            Failure::caused(
                Exit::Usage,
                format!("cannot read --env-file {}", file.display()),
                error,
            )
        })?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let line = line.strip_prefix("export ").unwrap_or(line);
            match entry(line) {
                Ok((key, value)) => {
                    drop(env.insert(key.trim_end().to_owned(), unquoted(value).to_owned()))
                }
                Err(problem) => {
                    problems.push(format!("{}:{}: {problem}", file.display(), number + 1))
                }
            }
        }
    }
    for text in entries {
        match entry(text) {
            Ok((key, value)) => drop(env.insert(key.to_owned(), value.to_owned())),
            Err(problem) => problems.push(format!("--env {problem}")),
        }
    }
    if problems.is_empty() {
        Ok(env)
    } else {
        Err(Failure::usage(problems.join("\n")))
    }
}

fn entry(text: &str) -> Result<(&str, &str), String> {
    let shown = text.escape_debug();
    match text.split_once('=') {
        None => Err(format!("`{shown}` is not KEY=VALUE")),
        Some(("", _)) => Err(format!("`{shown}` has no name before the `=`")),
        Some(_) if text.contains('\0') => Err(format!("`{shown}` holds a zero byte")),
        Some(pair) => Ok(pair),
    }
}

/// Takes away one pair of quotes around a value, as such files often have them.
fn unquoted(value: &str) -> &str {
    let value = value.trim();
    ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_wins_and_files_may_be_decorated() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        std::fs::write(
            &file,
            "# comment\n\nA=1\nexport B=\"two words\"\nC='x=y'\r\nEMPTY=\n",
        )
        .unwrap();
        let env = read(&[&file], &["A=over".into(), "D= kept ".into()]).unwrap();
        let shown: Vec<_> = env
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(
            shown,
            ["A=over", "B=two words", "C=x=y", "D= kept ", "EMPTY="]
        );
    }

    #[test]
    fn every_bad_entry_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        std::fs::write(&file, "OK=1\nnonsense\n").unwrap();
        let error = read(&[&file], &["=x".into(), "KEY".into()]).unwrap_err();
        let text = error.error().to_string();
        assert!(
            text.contains("env:2: `nonsense` is not KEY=VALUE"),
            "{text}"
        );
        assert!(
            text.contains("`=x` has no name") && text.contains("`KEY` is not"),
            "{text}"
        );
    }
}

//! `--secret`: values that steps get and nobody is shown.

use std::ffi::OsString;
use std::path::Path;

use hm_exec::Secrets;
use hm_pipeline::project::Rendered;
use hm_plugin_protocol::SECRET_PREFIX;
use hm_render::clean_line;

use crate::failure::{Exit, Failure};
use crate::pipelines;

/// Longest value, in bytes: what one variable of a process can hold is not much more.
const VALUE_MAX: usize = 64 << 10;

/// Reads what is declared as `NAME` (the value of that variable) or `NAME=@FILE`.
///
/// # Errors
/// Usage, for a declaration that gives no value.
pub(super) fn read(
    declared: &[String],
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Secrets, Failure> {
    let mut secrets = Secrets::default();
    for text in declared {
        let (name, file) = match text.split_once('=') {
            None => (text.as_str(), None),
            Some((name, file)) => match file.strip_prefix('@') {
                Some(file) => (name, Some(Path::new(file))),
                None => {
                    return Err(Failure::usage(format!(
                        "--secret {}=… would show the value to everybody who lists processes",
                        clean_line(name)
                    ))
                    .hint("export it and give its name alone, or write NAME=@FILE"));
                }
            },
        };
        if !is_name(name) {
            return Err(Failure::usage(format!(
                "`{}` is no name of a secret: it holds letters, digits and _ only",
                clean_line(name)
            )));
        }
        let value = match file {
            Some(file) => from_file(name, file)?,
            None => from_variable(name, variable(name))?,
        };
        if value.len() > VALUE_MAX {
            return Err(Failure::usage(format!(
                "the secret `{name}` has {} bytes, at most {VALUE_MAX}",
                value.len()
            )));
        }
        secrets.insert(name, value).map_err(Failure::usage)?;
    }
    Ok(secrets)
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

fn from_variable(name: &str, value: Option<OsString>) -> Result<String, Failure> {
    let value = value.ok_or_else(|| {
        Failure::usage(format!("--secret {name}: the variable {name} is not set"))
            .hint(format!("export it first, or write --secret {name}=@FILE"))
    })?;
    value
        .into_string()
        .map_err(|_| Failure::usage(format!("--secret {name}: the variable {name} is not UTF-8")))
}

/// One line end at the end is the editor's, and not part of the secret.
fn from_file(name: &str, file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let what = format!("cannot read the secret `{name}` from {}", file.display());
        Failure::caused(Exit::Usage, what, error)
    })?;
    let value = text.strip_suffix('\n').unwrap_or(&text);
    Ok(value.strip_suffix('\r').unwrap_or(value).to_owned())
}

/// Refuses a plan that wants a secret which is not declared. A variable that the command
/// line has set to something else wants none.
///
/// # Errors
/// Exit 7, with every such variable and its place.
pub(super) fn check(rendered: &Rendered, secrets: &Secrets) -> Result<(), Failure> {
    let values = rendered
        .plan
        .steps
        .iter()
        .flat_map(|step| step.env.values());
    let missing: Vec<&str> = values
        .filter_map(|value| value.strip_prefix(SECRET_PREFIX))
        .filter(|secret| !secrets.contains(secret))
        .collect();
    let Some(first) = missing.first() else {
        return Ok(());
    };
    let hint = if is_name(first) {
        format!("declare it with `--secret {first}`, which takes its value from ${first}")
    } else {
        "a secret's name holds letters, digits and _ only".to_owned()
    };
    let is_free = |secret: &str| !missing.contains(&secret);
    rendered
        .check_secrets(is_free)
        .map_err(|error| pipelines::failure(error).hint(&hint))?;
    // Not in the document, so that it has no place there.
    let message = format!(
        "`-e` or `--env-file` wants the secret `{}`, and none is declared",
        clean_line(first)
    );
    Err(Failure::new(Exit::Code(7), message).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(text: &str) -> Result<Secrets, Failure> {
        read(&[text.to_owned()], |name| {
            (name == "SET").then(|| "value".into())
        })
    }

    #[test]
    fn values_come_from_variables_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "two\nlines\r\n").unwrap();
        let mut expected = Secrets::default();
        expected.insert("KEY", "two\nlines").unwrap();
        assert_eq!(
            read_one(&format!("KEY=@{}", file.display())).unwrap(),
            expected
        );
        assert!(read_one("SET").unwrap().contains("SET"));
    }

    #[test]
    fn a_declaration_without_a_value_says_what_to_do() {
        for (text, says) in [
            ("UNSET", "is not set"),
            ("A=plain-value", "everybody who lists processes"),
            ("A=@/nonexistent/file", "/nonexistent/file"),
            ("1A", "no name"),
            ("A B", "no name"),
            ("", "no name"),
        ] {
            let failure = read_one(text).unwrap_err();
            let shown = failure.error().to_string();
            assert!(shown.contains(says), "{text}: {shown}");
            assert!(!shown.contains("plain-value"));
        }
    }
}

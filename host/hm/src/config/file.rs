//! A configuration file to a layer, with all that is wrong with it at once.

use std::path::Path;

use hm_render::clean_line;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Right};
use super::layer::{Layer, Origin, Setting, Value};
use crate::failure::{Exit, Failure};

/// Name of the file, in the user's folder and in `.hm/`.
pub(crate) const NAME: &str = "config.toml";

/// Problems that are told: nobody reads more at once.
const TOLD: usize = 20;

/// Reads a file; one that is not there is an empty layer.
///
/// # Errors
/// Usage: the file cannot be read, is no TOML, or has keys that it may not have.
pub(crate) fn load(file: &Path, origin: Origin) -> Result<Layer, Failure> {
    let text = match crate::plain_file::read(file) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(Layer::default()),
        Err(error) => {
            let message = format!("cannot read the configuration {}", file.display());
            return Err(Failure::caused(Exit::Usage, message, error));
        }
    };
    let shown = clean_line(&super::folders::shown(file)).into_owned();
    let mut reader = Reader {
        text: &text,
        file: &shown,
        origin: &origin,
        settings: Vec::new(),
        problems: Vec::new(),
    };
    let (table, errors) = DeTable::parse_recoverable(&text);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.problem(at, error.message().to_owned());
    }
    if errors.is_empty() {
        reader.table(&mut Vec::new(), table.get_ref());
    }
    reader.finish()
}

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    origin: &'a Origin,
    /// With the byte offset of each, since the order in the file counts for images.
    settings: Vec<(usize, Setting)>,
    problems: Vec<(usize, String)>,
}

impl Reader<'_> {
    fn table(&mut self, path: &mut Vec<String>, table: &DeTable<'_>) {
        for (name, value) in table.iter() {
            let at = name.span().start;
            path.push(name.get_ref().to_string());
            if self.may_hold(path, at) {
                self.entry(path, at, value);
            }
            path.pop();
        }
    }

    /// Tells of a key that this file may not hold.
    fn may_hold(&mut self, path: &[String], at: usize) -> bool {
        let name = path.join(".");
        if let [table, backend] = path
            && table == "backends"
            && keys::BUILT_IN.contains(&backend.as_str())
        {
            self.problem(
                at,
                format!("`{backend}` is the name of a built-in backend; choose another"),
            );
            return false;
        }
        if !self.origin.is_repository() {
            return true;
        }
        let forbidden = path.len() == 1 && keys::FORBIDDEN_TO_REPOSITORIES.contains(&name.as_str())
            || keys::find(path).is_some_and(|key| key.right == Right::User);
        if forbidden {
            self.problem(
                at,
                format!(
                    "a repository may not set `{name}`: it would reach beyond the repository; \
                     set it in your own configuration"
                ),
            );
        }
        !forbidden
    }

    fn entry(&mut self, path: &mut Vec<String>, at: usize, value: &Spanned<DeValue<'_>>) {
        let name = path.join(".");
        if let DeValue::Table(table) = value.get_ref()
            && keys::is_table(path)
        {
            self.table(path, table);
            return;
        }
        let Some(key) = keys::find(path) else {
            let problem = if keys::is_table(path) {
                format!("`{name}` is a table, not a value")
            } else {
                match keys::nearest(path) {
                    Some(near) => format!("unknown key `{name}`; did you mean `{near}`?"),
                    None => format!("unknown key `{name}`"),
                }
            };
            self.problem(at, problem);
            return;
        };
        let checked = plain(value.get_ref())
            .ok_or(())
            .and_then(|value| key.kind.check(value).map_err(|_| ()));
        match checked {
            Ok(value) => {
                let setting = Setting {
                    path: path.clone(),
                    value,
                    origin: self.origin.clone(),
                };
                self.settings.push((at, setting));
            }
            Err(()) => {
                let shown = &self.text[value.span()];
                let shown = shown.lines().next().unwrap_or_default();
                self.problem(
                    value.span().start,
                    format!("`{name}` is {shown}; it takes {}", key.kind.expected()),
                );
            }
        }
    }

    /// Notes what is wrong. Keys and values are somebody else's words.
    fn problem(&mut self, at: usize, message: String) {
        self.problems.push((at, clean_line(&message).into_owned()));
    }

    fn finish(mut self) -> Result<Layer, Failure> {
        if self.problems.is_empty() {
            self.settings.sort_by_key(|&(at, _)| at);
            return Ok(Layer {
                settings: self
                    .settings
                    .into_iter()
                    .map(|(_, setting)| setting)
                    .collect(),
            });
        }
        self.problems.sort();
        let mut lines: Vec<_> = self
            .problems
            .iter()
            .take(TOLD)
            .map(|(at, message)| {
                let (line, column) = position(self.text, *at);
                format!("{}:{line}:{column}: {message}", self.file)
            })
            .collect();
        if let Some(more) = self.problems.len().checked_sub(TOLD + 1) {
            lines.push(format!("… and {} more", more + 1));
        }
        Err(Failure::usage(format!(
            "the configuration is not valid\n{}",
            lines.join("\n")
        )))
    }
}

/// Returns a value without its places; none for what no key takes.
fn plain(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::Text(text.to_string())),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(Value::Number),
        DeValue::Boolean(on) => Some(Value::Switch(*on)),
        DeValue::Array(items) => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                _ => None,
            })
            .collect::<Option<_>>()
            .map(Value::Texts),
        _ => None,
    }
}

/// Returns line and column of a byte offset, both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at.min(text.len()))];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

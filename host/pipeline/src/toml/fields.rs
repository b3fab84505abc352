//! Typed access to the fields of a TOML table, with a problem for whatever does
//! not fit.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ::toml::Spanned;
use ::toml::de::{DeString, DeTable, DeValue};
use hm_plugin_protocol::{Network, SECRET_PREFIX};

use crate::duration;
use crate::path::Path;
use crate::pipeline::Target;
use crate::problem::Problem;
use crate::source::{Place, Source};
use crate::text::{nearest, quote};
use crate::variable::variable_fault;

/// A string of the document and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'t> {
    pub(super) text: &'t str,
    pub(super) offset: usize,
}

/// Like [`Text`], kept beyond the document.
#[derive(Debug, Clone)]
pub(super) struct OwnedText {
    pub(super) text: String,
    pub(super) place: Place,
}

/// Variables with the secrets among them.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    pub(super) values: BTreeMap<String, String>,
    /// By variable.
    pub(super) secrets: BTreeMap<String, (Place, Target)>,
}

impl Variables {
    /// Lays `over` over these.
    pub(super) fn merged(&self, over: Variables) -> Variables {
        let mut merged = self.clone();
        for variable in over.values.keys() {
            merged.secrets.remove(variable);
        }
        merged.values.extend(over.values);
        merged.secrets.extend(over.secrets);
        merged
    }
}

/// A value that stands under a key.
pub(super) type Entry<'t> = (&'t Spanned<DeString<'t>>, &'t Spanned<DeValue<'t>>);

/// Reads a document and collects everything that is wrong with it.
pub(super) struct Fields<'s> {
    source: &'s Source,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl<'s> Fields<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Self {
            source,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn place(&self, path: &Path<'_>, offset: usize) -> Place {
        self.source.place(path.to_string(), offset)
    }

    pub(super) fn problem(
        &mut self,
        path: &Path<'_>,
        offset: usize,
        message: impl fmt::Display,
    ) -> &mut Problem {
        self.problems
            .push(Problem::at(self.place(path, offset), message.to_string()));
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    pub(super) fn mismatch(
        &mut self,
        path: &Path<'_>,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
    ) {
        let message = format!("expected {expected}, found {}", found(value.get_ref()));
        self.problem(path, value.span().start, message);
    }

    /// Complains about fields that are not in `known`.
    pub(super) fn check_known(&mut self, table: &DeTable<'_>, path: &Path<'_>, known: &[&str]) {
        for key in table.keys() {
            let field = key.get_ref().as_ref();
            if known.contains(&field) {
                continue;
            }
            let message = format!("unknown field {}", quote(field));
            let hint = match nearest(field, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            self.problem(&path.member(field), key.span().start, message)
                .hint = Some(hint);
        }
    }

    /// Returns the string field, or complains if it is something else.
    pub(super) fn string<'t>(
        &mut self,
        table: &'t DeTable<'t>,
        path: &Path<'_>,
        field: &str,
    ) -> Option<Text<'t>> {
        let (_, value) = entry(table, field)?;
        self.text(value, &path.member(field))
    }

    /// Returns the string, which must not hold a NUL character, or complains.
    pub(super) fn text<'t>(
        &mut self,
        value: &'t Spanned<DeValue<'t>>,
        path: &Path<'_>,
    ) -> Option<Text<'t>> {
        let Some(text) = value.get_ref().as_str() else {
            self.mismatch(path, value, "a string");
            return None;
        };
        let offset = value.span().start;
        if text.contains('\0') {
            self.problem(path, offset, "must not hold a NUL character");
            return None;
        }
        Some(Text { text, offset })
    }

    pub(super) fn image<'t>(&mut self, table: &'t DeTable<'t>, path: &Path<'_>) -> Option<String> {
        let image = self.string(table, path, "image")?;
        if image.text.trim().is_empty() {
            let message = format!("empty image name {}", quote(image.text));
            self.problem(&path.member("image"), image.offset, message);
            return None;
        }
        Some(image.text.to_owned())
    }

    pub(super) fn network<'t>(
        &mut self,
        table: &'t DeTable<'t>,
        path: &Path<'_>,
    ) -> Option<Network> {
        let word = self.string(table, path, "network")?;
        let network = super::network(word.text);
        if network.is_none() {
            let message = format!(
                "unknown network {}, expected \"none\", \"public\" or \"host\"",
                quote(word.text)
            );
            self.problem(&path.member("network"), word.offset, message);
        }
        network
    }

    pub(super) fn timeout<'t>(
        &mut self,
        table: &'t DeTable<'t>,
        path: &Path<'_>,
    ) -> Option<Duration> {
        let (_, value) = entry(table, "timeout")?;
        let path = path.member("timeout");
        let seconds = self.seconds(value, &path)?;
        if seconds > u64::from(u32::MAX) {
            let message = format!("timeout must be at most {} seconds", u32::MAX);
            self.problem(&path, value.span().start, message);
            return None;
        }
        Some(Duration::from_secs(seconds))
    }

    /// Returns a length of time, at least a second.
    pub(super) fn seconds(&mut self, value: &Spanned<DeValue<'_>>, path: &Path<'_>) -> Option<u64> {
        let seconds = match value.get_ref() {
            DeValue::String(text) => duration::seconds(text),
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let seconds = seconds.filter(|&seconds| seconds > 0);
        if seconds.is_none() {
            let expected = "a length of time as \"1h30m\", \"45s\" or whole seconds from 1";
            self.mismatch(path, value, expected);
        }
        seconds
    }

    pub(super) fn env<'t>(&mut self, table: &'t DeTable<'t>, path: &Path<'_>) -> Variables {
        let mut variables = Variables::default();
        let Some((_, value)) = entry(table, "env") else {
            return variables;
        };
        let path = path.member("env");
        let Some(env) = value.get_ref().as_table() else {
            self.mismatch(&path, value, "a table of strings");
            return variables;
        };
        for (key, value) in env {
            let variable = key.get_ref().as_ref();
            let path = path.member(variable);
            if let Some(fault) = variable_fault(variable) {
                let message = format!("the variable name {} {fault}", quote(variable));
                self.problem(&path, key.span().start, message);
            }
            let Some(text) = self.text(value, &path) else {
                continue;
            };
            if let Some(secret) = text.text.strip_prefix(SECRET_PREFIX) {
                let (name, secret) = (variable.to_owned(), secret.to_owned());
                let target = Target::Secret {
                    variable: name,
                    secret,
                };
                let place = self.place(&path, text.offset);
                variables
                    .secrets
                    .insert(variable.to_owned(), (place, target));
            }
            variables
                .values
                .insert(variable.to_owned(), text.text.to_owned());
        }
        variables
    }

    /// Returns the text with its place, to keep.
    pub(super) fn keep(&self, text: Text<'_>, path: &Path<'_>) -> OwnedText {
        OwnedText {
            text: text.text.to_owned(),
            place: self.place(path, text.offset),
        }
    }
}

/// Returns the field of that name.
pub(super) fn entry<'t>(table: &'t DeTable<'t>, field: &str) -> Option<Entry<'t>> {
    table.get_key_value(field)
}

/// Returns what kind of value this is, with the value where it is short.
pub(super) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {}", quote(text)),
        DeValue::Integer(number) => format!("the number {}", number.as_str()),
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(word) => word.to_string(),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

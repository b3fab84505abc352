//! The `cache` field.

use ::toml::Spanned;
use ::toml::de::{DeArray, DeTable, DeValue};

use super::fields::{Fields, found};
use crate::cache_key::Policy;
use crate::path::Path;
use crate::text::quote;
use crate::watch;

const EXPECTED: &str =
    "\"forever\", \"none\", { ttl = \"1d\" }, { on_change = [\"src/**\"] } or { all = [...] }";

/// Reads a cache policy, or complains.
pub(super) fn read(
    fields: &mut Fields<'_>,
    value: &Spanned<DeValue<'_>>,
    path: &Path<'_>,
) -> Option<Policy> {
    match value.get_ref() {
        DeValue::String(word) => match word.as_ref() {
            "forever" => Some(Policy::Forever),
            "none" => Some(Policy::None),
            other => {
                let message = format!("unknown cache policy {}, expected {EXPECTED}", quote(other));
                fields.problem(path, value.span().start, message);
                None
            }
        },
        DeValue::Table(table) => read_table(fields, table, value, path),
        _ => {
            fields.mismatch(path, value, EXPECTED);
            None
        }
    }
}

fn read_table(
    fields: &mut Fields<'_>,
    table: &DeTable<'_>,
    value: &Spanned<DeValue<'_>>,
    path: &Path<'_>,
) -> Option<Policy> {
    let before = fields.problems.len();
    fields.check_known(table, path, &["ttl", "on_change", "all"]);
    if fields.problems.len() > before {
        return None;
    }
    let mut entries = table.iter();
    let (Some((key, policy)), None) = (entries.next(), entries.next()) else {
        let message = format!("expected one policy, found {}", table.len());
        fields.problem(path, value.span().start, message).hint =
            Some("put several into { all = [...] }".to_owned());
        return None;
    };
    let path = path.member(key.get_ref());
    match key.get_ref().as_ref() {
        "ttl" => fields.seconds(policy, &path).map(Policy::Ttl),
        "on_change" => on_change(fields, policy, &path),
        _ => all(fields, policy, &path),
    }
}

fn on_change(
    fields: &mut Fields<'_>,
    value: &Spanned<DeValue<'_>>,
    path: &Path<'_>,
) -> Option<Policy> {
    let array = array(fields, value, path, "an array of paths and patterns")?;
    let mut patterns = Vec::new();
    for (index, item) in array.iter().enumerate() {
        let path = path.index(index);
        let Some(pattern) = fields.text(item, &path) else {
            continue;
        };
        if let Err(bad) = watch::check(pattern.text) {
            let message = format!("cannot watch {}: {}", quote(pattern.text), bad.0);
            fields.problem(&path, pattern.offset, message);
        }
        patterns.push(pattern.text.to_owned());
    }
    Some(Policy::OnChange(patterns))
}

fn all(fields: &mut Fields<'_>, value: &Spanned<DeValue<'_>>, path: &Path<'_>) -> Option<Policy> {
    let array = array(fields, value, path, "an array of policies")?;
    let parts = array.iter().enumerate();
    // The parser bounds the nesting, so this recursion ends.
    let parts: Vec<Option<Policy>> = parts
        .map(|(index, item)| read(fields, item, &path.index(index)))
        .collect();
    parts
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .map(Policy::All)
}

fn array<'t>(
    fields: &mut Fields<'_>,
    value: &'t Spanned<DeValue<'t>>,
    path: &Path<'_>,
    expected: &str,
) -> Option<&'t DeArray<'t>> {
    match value.get_ref().as_array() {
        Some(array) if !array.is_empty() => Some(array),
        Some(_) => {
            fields.problem(
                path,
                value.span().start,
                format!("expected {expected}, found none"),
            );
            None
        }
        None => {
            let message = format!("expected {expected}, found {}", found(value.get_ref()));
            fields.problem(path, value.span().start, message);
            None
        }
    }
}

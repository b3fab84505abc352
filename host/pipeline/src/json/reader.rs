//! Typed access to the members of a tree, with a problem for whatever does not fit.

use std::borrow::Cow;
use std::fmt;

use jsonc_parser::ast::{Object, ObjectProp, StringLit, Value};
use jsonc_parser::common::Ranged;

use crate::path::Path;
use crate::problem::Problem;
use crate::source::{Place, Source};
use crate::text::{name, quote};

/// Walks a tree and collects everything that is wrong with it.
pub(crate) struct Reader<'s> {
    source: &'s Source,
    text: &'s str,
    surrogates: &'s [usize],
    /// By index in `surrogates`: reported with its field already.
    reported: Vec<bool>,
    /// Key of the step that is being read.
    step: Option<String>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) unknown_fields: Vec<Place>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(source: &'s Source, text: &'s str, surrogates: &'s [usize]) -> Self {
        Self {
            source,
            text,
            surrogates,
            reported: vec![false; surrogates.len()],
            step: None,
            problems: Vec::new(),
            warnings: Vec::new(),
            unknown_fields: Vec::new(),
        }
    }

    /// Names the step in problems from here on.
    pub(crate) fn enter_step(&mut self, key: Option<&str>) {
        self.step = key.map(name);
    }

    pub(crate) fn place(&self, path: &Path<'_>, offset: usize) -> Place {
        self.source.place(path.to_string(), offset)
    }

    /// Adds a problem at `offset`.
    pub(crate) fn problem(
        &mut self,
        path: &Path<'_>,
        offset: usize,
        message: impl fmt::Display,
    ) -> &mut Problem {
        let message = match &self.step {
            Some(step) => format!("{message} (step {step})"),
            None => message.to_string(),
        };
        self.problems
            .push(Problem::at(self.place(path, offset), message));
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    /// Adds a problem about a value of the wrong type.
    pub(crate) fn mismatch(&mut self, path: &Path<'_>, value: &Value<'_>, expected: &str) {
        let message = format!("expected {expected}, found {}", found(value));
        self.problem(path, value.range().start, message);
    }

    /// Adds a problem about places of a graph that were deleted: the DSL writes none.
    pub(crate) fn holes(&mut self, path: &Path<'_>, offset: usize, found: impl fmt::Display) {
        self.problem(
            path,
            offset,
            format!("holes are not supported, found {found}"),
        )
        .hint = Some("render the pipeline again with the DSL".to_owned());
    }

    /// Adds a problem about a member that is not there.
    pub(crate) fn missing(&mut self, object: &Object<'_>, path: &Path<'_>, expected: &str) {
        self.problem(
            path,
            object.range.start,
            format!("missing, expected {expected}"),
        );
    }

    /// Returns the members of `known`, in that order; notes the others and complains
    /// about those given twice.
    pub(crate) fn members<'t, const N: usize>(
        &mut self,
        object: &'t Object<'t>,
        path: &Path<'_>,
        known: [&str; N],
    ) -> [Option<&'t Value<'t>>; N] {
        let mut values: [Option<&'t Value<'t>>; N] = [None; N];
        for property in &object.properties {
            let member = property.name.as_str();
            let Some(index) = known.iter().position(|&k| k == member) else {
                let place = self.place(&path.member(member), property.range.start);
                self.unknown_fields.push(place);
                continue;
            };
            if let Some(first) = values[index] {
                self.twice(path, property, member, first);
            } else {
                values[index] = Some(&property.value);
            }
        }
        values
    }

    pub(crate) fn twice(
        &mut self,
        path: &Path<'_>,
        property: &ObjectProp<'_>,
        member: &str,
        first: &Value<'_>,
    ) {
        let first = self.source.place("", first.range().start);
        let message = format!("{} is given twice, first at {first}", quote(member));
        self.problem(&path.member(member), property.range.start, message);
    }

    /// Returns the string, or complains.
    pub(crate) fn string<'t>(
        &mut self,
        value: &'t Value<'t>,
        path: &Path<'_>,
        expected: &str,
    ) -> Option<&'t Cow<'t, str>> {
        match value {
            Value::StringLit(literal) => {
                self.check_surrogates(literal, path);
                Some(&literal.value)
            }
            other => {
                self.mismatch(path, other, expected);
                None
            }
        }
    }

    /// Returns the string, which must not hold a NUL character, or complains.
    pub(crate) fn string_without_nul<'t>(
        &mut self,
        value: &'t Value<'t>,
        path: &Path<'_>,
        expected: &str,
    ) -> Option<&'t Cow<'t, str>> {
        let text = self.string(value, path, expected)?;
        if text.contains('\0') {
            let range = value.range();
            let offset = range.start + nul_escape(&self.text[range.start..range.end]);
            self.problem(path, offset, "must not hold a NUL character");
            return None;
        }
        Some(text)
    }

    /// Returns the value as it stands in the text, or complains about a number that
    /// is too large.
    pub(crate) fn json(&mut self, value: &Value<'_>, path: &Path<'_>) -> Option<serde_json::Value> {
        let range = value.range();
        match serde_json::from_str(&self.text[range.start..range.end]) {
            Ok(json) => Some(json),
            Err(error) => {
                let told = error.to_string();
                let told = told.split(" at line ").next().unwrap_or(&told).to_owned();
                self.problem(path, range.start, told);
                None
            }
        }
    }

    fn check_surrogates(&mut self, literal: &StringLit<'_>, path: &Path<'_>) {
        let first = self
            .surrogates
            .partition_point(|&at| at < literal.range.start);
        let inside = self.surrogates[first..]
            .iter()
            .take_while(|&&at| at < literal.range.end);
        for index in first..first + inside.count() {
            self.reported[index] = true;
            self.surrogate(path, self.surrogates[index]);
        }
    }

    fn surrogate(&mut self, path: &Path<'_>, offset: usize) {
        let escape = &self.source.text()[offset..offset + 6];
        let message = format!("the escape {escape} is half of a surrogate pair and no character");
        self.problem(path, offset, message);
    }

    /// Complains about surrogates in parts of the document that nothing reads, where
    /// `concerns` holds for their offset.
    pub(crate) fn finish(&mut self, concerns: impl Fn(usize) -> bool) {
        self.enter_step(None);
        for (index, &offset) in self.surrogates.iter().enumerate() {
            if !self.reported[index] && concerns(offset) {
                self.surrogate(&Path::Root, offset);
            }
        }
    }
}

/// Returns the value of an optional member: null counts as absent.
pub(crate) fn present<'t>(value: Option<&'t Value<'t>>) -> Option<&'t Value<'t>> {
    value.filter(|value| !matches!(value, Value::NullKeyword(_)))
}

/// Returns what kind of value this is, with the value where it is short.
pub(crate) fn found(value: &Value<'_>) -> String {
    match value {
        Value::StringLit(literal) => format!("the string {}", quote(&literal.value)),
        Value::NumberLit(literal) => format!("the number {}", cut(literal.value)),
        Value::BooleanLit(literal) => literal.value.to_string(),
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::NullKeyword(_) => "null".to_owned(),
    }
}

fn cut(number: &str) -> String {
    match number.get(..40) {
        Some(start) if number.len() > 40 => format!("{start}…"),
        _ => number.to_owned(),
    }
}

/// Returns the offset of the `\u0000` escape in a JSON string literal.
fn nul_escape(literal: &str) -> usize {
    let bytes = literal.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
        } else if bytes[at..].starts_with(b"\\u0000") {
            return at;
        } else {
            at += 2;
        }
    }
    0
}

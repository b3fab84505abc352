//! Which shape a document has, and the envelope around definitions.

use std::collections::HashMap;

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;
use serde_json::json;

use super::Document;
use super::definition;
use crate::error::PipelineError;
use crate::json::{JsonText, Reader, found, present};
use crate::path::Path;
use crate::pipeline::Pipeline;
use crate::problem::{self, Problem};
use crate::source::Source;
use crate::text::quote;

/// The two shapes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One pipeline's definition.
    Bare,
    /// Pipelines with slug, name, triggers and definition.
    Envelope,
}

/// Parses and checks a document. A bare one gets the slug `stem`; root steps
/// without an image get the document's `default_image`, else `default_image`.
///
/// # Errors
/// `Invalid`, with every problem, if there is no telling which pipelines the document
/// has. What is wrong with one definition stands in its [`Pipeline::checked`].
pub fn parse(source: &Source, stem: &str, default_image: &str) -> Result<Document, PipelineError> {
    let invalid = |problems| PipelineError::invalid(source.name(), None, problems);
    let json = JsonText::new(source).map_err(invalid)?;
    let tree = json.tree(source).map_err(invalid)?;
    let mut reader = Reader::new(source, json.text(), json.surrogates());
    let Value::Object(document) = &tree else {
        let message = format!(
            "expected an object (a pipeline document), found {}",
            found(&tree)
        );
        reader.problem(&Path::Root, tree.range().start, message);
        let mut problems = json.problems().to_vec();
        problems.append(&mut reader.problems);
        return Err(invalid(problems));
    };
    let has = |member: &str| document.get(member).is_some();
    let input = Input {
        source,
        json: &json,
        default_image,
    };
    if !has("graph") && (has("pipelines") || has("schema_version")) {
        let pipelines = read_envelope(document, &input, &mut reader).map_err(invalid)?;
        return Ok(Document {
            shape: Shape::Envelope,
            pipelines,
        });
    }
    let mut checked = definition::read(document, &Path::Root, reader, stem, default_image);
    if !json.problems().is_empty() {
        let mut problems = checked.err().unwrap_or_default();
        problems.extend_from_slice(json.problems());
        problem::sort(&mut problems);
        checked = Err(problems);
    }
    let definition = input.original(&tree);
    let entry = self::entry(stem, stem, &definition);
    let pipeline = Pipeline {
        slug: stem.to_owned(),
        name: stem.to_owned(),
        entry,
        definition,
        checked,
    };
    Ok(Document {
        shape: Shape::Bare,
        pipelines: vec![pipeline],
    })
}

/// Returns an envelope's entry with default fields around a bare definition.
pub(crate) fn entry(slug: &str, name: &str, definition: &str) -> String {
    let (slug, name) = (json!(slug), json!(name));
    format!(
        r#"{{"slug": {slug}, "name": {name}, "allow_manual": true, "triggers": [], "definition": {definition}}}"#
    )
}

/// Returns an envelope of `entries`.
pub(crate) fn envelope<'e>(entries: impl IntoIterator<Item = &'e str>) -> String {
    let entries: Vec<&str> = entries.into_iter().collect();
    format!(
        r#"{{"schema_version": "1", "pipelines": [{}]}}"#,
        entries.join(", ")
    )
}

struct Input<'i> {
    source: &'i Source,
    json: &'i JsonText,
    default_image: &'i str,
}

impl Input<'_> {
    /// Returns the text of `value` as the user wrote it.
    fn original(&self, value: &Value<'_>) -> String {
        let range = value.range();
        self.source.text()[range.start..range.end].to_owned()
    }
}

fn read_envelope(
    document: &Object<'_>,
    input: &Input<'_>,
    reader: &mut Reader<'_>,
) -> Result<Vec<Pipeline>, Vec<Problem>> {
    let [version, pipelines] =
        reader.members(document, &Path::Root, ["schema_version", "pipelines"]);
    let path = Path::Root.member("schema_version");
    match version {
        None => reader.missing(document, &path, "the string \"1\""),
        Some(Value::StringLit(text)) if text.value == "1" => {}
        Some(Value::StringLit(text)) => {
            let message = format!(
                "unknown envelope version {}; this hm reads \"1\"",
                quote(&text.value)
            );
            reader.problem(&path, text.range.start, message).hint =
                Some("update hm or the DSL".to_owned());
        }
        Some(other) => reader.mismatch(&path, other, "the string \"1\""),
    }
    let path = Path::Root.member("pipelines");
    let mut entries = Vec::new();
    match pipelines {
        None => reader.missing(document, &path, "an array of pipelines"),
        Some(Value::Array(array)) => {
            for (index, value) in array.elements.iter().enumerate() {
                entries.extend(read_entry(value, &path.index(index), input, reader));
            }
        }
        Some(other) => reader.mismatch(&path, other, "an array of pipelines"),
    }
    check_unique(&entries, reader);
    let definitions = definition_ranges(pipelines);
    reader.finish(|at| !definitions.iter().any(|range| range.contains(&at)));
    let mut problems = input.json.problems().to_vec();
    problems.append(&mut reader.problems);
    if problems.is_empty() {
        return Ok(entries.into_iter().map(|(pipeline, _)| pipeline).collect());
    }
    // Nothing of a broken envelope can be chosen, so all of it is told at once.
    problems.extend(
        entries
            .into_iter()
            .filter_map(|(p, _)| p.checked.err())
            .flatten(),
    );
    problem::sort(&mut problems);
    Err(problems)
}

/// Returns where the definitions are: those are read by readers of their own.
fn definition_ranges(pipelines: Option<&Value<'_>>) -> Vec<std::ops::Range<usize>> {
    let entries = pipelines
        .and_then(Value::as_array)
        .map_or(&[][..], |array| &array.elements);
    let objects = entries.iter().filter_map(Value::as_object);
    let definitions = objects.filter_map(|entry| entry.get_object("definition"));
    definitions
        .map(|object| object.range.start..object.range.end)
        .collect()
}

fn read_entry(
    value: &Value<'_>,
    path: &Path<'_>,
    input: &Input<'_>,
    reader: &mut Reader<'_>,
) -> Option<(Pipeline, usize)> {
    let Value::Object(entry) = value else {
        reader.mismatch(path, value, "an object with slug and definition");
        return None;
    };
    let [slug, name, manual, triggers, definition] = reader.members(
        entry,
        path,
        ["slug", "name", "allow_manual", "triggers", "definition"],
    );
    let slug_path = path.member("slug");
    let slug = match slug {
        None => {
            reader.missing(entry, &slug_path, "a string");
            None
        }
        Some(value) => reader.string_without_nul(value, &slug_path, "a string"),
    };
    let name = present(name)
        .and_then(|value| reader.string(value, &path.member("name"), "a string"))
        .or(slug);
    if let Some(other) = present(manual).filter(|v| !matches!(v, Value::BooleanLit(_))) {
        reader.mismatch(&path.member("allow_manual"), other, "true or false");
    }
    if let Some(other) = present(triggers).filter(|v| !matches!(v, Value::Array(_))) {
        reader.mismatch(&path.member("triggers"), other, "an array of triggers");
    }
    let definition_path = path.member("definition");
    let Some(definition) = definition else {
        reader.missing(entry, &definition_path, "a bare document");
        return None;
    };
    let Value::Object(object) = definition else {
        reader.mismatch(&definition_path, definition, "a bare document");
        return None;
    };
    let shown = slug.map_or("", |slug| slug.as_ref());
    let inner = Reader::new(input.source, input.json.text(), input.json.surrogates());
    let checked = definition::read(object, &definition_path, inner, shown, input.default_image);
    let slug = slug?.to_string();
    let pipeline = Pipeline {
        name: name.map_or_else(|| slug.clone(), ToString::to_string),
        slug,
        entry: input.original(value),
        definition: input.original(definition),
        checked,
    };
    Some((pipeline, entry.range.start))
}

fn check_unique(entries: &[(Pipeline, usize)], reader: &mut Reader<'_>) {
    let mut seen = HashMap::new();
    for (index, (pipeline, offset)) in entries.iter().enumerate() {
        if let Some(first) = seen.insert(pipeline.slug.as_str(), index) {
            let slug = quote(&pipeline.slug);
            let message = format!("slug {slug} is used twice: pipelines {first} and {index}");
            reader.problem(
                &Path::Root.member("pipelines").index(index),
                *offset,
                message,
            );
        }
    }
}

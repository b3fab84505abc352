//! The service's description, and what departs from it.

use std::collections::HashMap;

use anyhow::{Context, Result};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::Operation;

/// The published facts, as one document.
static DOCUMENT: &str = include_str!("../openapi.json");

/// What the description says of each operation.
pub(crate) struct Description {
    operations: HashMap<Operation, Described>,
}

#[derive(Default)]
struct Described {
    /// By place (`path`, `query`) and name.
    parameters: Vec<(String, String, bool, Validator)>,
    body: Option<Validator>,
    answers: HashMap<String, Option<Validator>>,
}

impl Description {
    pub(crate) fn read() -> Result<Self> {
        let document: Value = serde_json::from_str(DOCUMENT)?;
        let mut operations = HashMap::new();
        let paths = document["paths"].as_object().context("no paths")?;
        for path in paths.values() {
            let shared = path["parameters"].as_array().cloned().unwrap_or_default();
            for (method, described) in path.as_object().into_iter().flatten() {
                let Some(name) = described["operationId"].as_str() else {
                    continue;
                };
                let operation = Operation::named(name)
                    .with_context(|| format!("{method} {name} is not known here"))?;
                operations.insert(operation, operation_of(&document, described, &shared)?);
            }
        }
        Ok(Self { operations })
    }

    /// Returns what is wrong with a request; nothing for what is not described.
    pub(crate) fn request(
        &self,
        operation: Operation,
        path: &[(&'static str, String)],
        query: &[(String, String)],
        body: Option<&Value>,
    ) -> Vec<String> {
        let Some(described) = self.operations.get(&operation) else {
            return Vec::new();
        };
        let mut wrong = Vec::new();
        for (place, name, is_required, validator) in &described.parameters {
            let value = match place.as_str() {
                "path" => path.iter().find(|(known, _)| known == name).map(|(_, v)| v),
                "query" => query
                    .iter()
                    .find(|(known, _)| known == name)
                    .map(|(_, v)| v),
                // A header that is no number is passed over by the service.
                _ => continue,
            };
            match value {
                Some(value) => {
                    let value = value
                        .parse::<i64>()
                        .map_or_else(|_| json!(value), |number| json!(number));
                    wrong.extend(problems(validator, &value, &format!("{place} `{name}`")));
                }
                None if *is_required => wrong.push(format!("{place} `{name}` is missing")),
                None => {}
            }
        }
        match (&described.body, body) {
            (Some(validator), Some(body)) => wrong.extend(problems(validator, body, "body")),
            (Some(_), None) => wrong.push("a body is missing".to_owned()),
            (None, _) => {}
        }
        wrong
    }

    /// Returns what is wrong with an answer of ours.
    pub(crate) fn answer(&self, operation: Operation, status: u16, body: &Value) -> Vec<String> {
        let Some(described) = self.operations.get(&operation) else {
            return Vec::new();
        };
        let answers = &described.answers;
        match answers
            .get(&status.to_string())
            .or_else(|| answers.get("default"))
        {
            Some(Some(validator)) => problems(validator, body, "answer"),
            Some(None) => Vec::new(),
            None => vec![format!("status {status} is not described")],
        }
    }
}

fn operation_of(document: &Value, described: &Value, shared: &[Value]) -> Result<Described> {
    let mut found = Described::default();
    let own = described["parameters"].as_array().into_iter().flatten();
    for parameter in shared.iter().chain(own) {
        let parameter = resolve(document, parameter);
        let text = |name: &str| parameter[name].as_str().unwrap_or_default().to_owned();
        let mut schema = parameter["schema"].clone();
        if let Some(schema) = schema.as_object_mut() {
            // Values beyond the bounds are clamped and never refused.
            schema.remove("maximum");
        }
        found.parameters.push((
            text("in"),
            text("name"),
            parameter["required"].as_bool().unwrap_or_default(),
            validator(document, &schema)?,
        ));
    }
    let body = &described["requestBody"]["content"]["application/json"]["schema"];
    if body.is_object() {
        found.body = Some(validator(document, body)?);
    }
    for (status, answer) in described["responses"].as_object().into_iter().flatten() {
        let answer = resolve(document, answer);
        let schema = &answer["content"]["application/json"]["schema"];
        let validator = schema
            .is_object()
            .then(|| validator(document, schema))
            .transpose()?;
        found.answers.insert(status.clone(), validator);
    }
    Ok(found)
}

/// Follows a reference of one step, the only ones that the document has outside schemas.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    value["$ref"]
        .as_str()
        .and_then(|reference| document.pointer(reference.trim_start_matches('#')))
        .unwrap_or(value)
}

fn validator(document: &Value, schema: &Value) -> Result<Validator> {
    let schema = json!({"allOf": [schema], "components": document["components"]});
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .map_err(|error| anyhow::anyhow!("{error}"))
}

fn problems(validator: &Validator, value: &Value, place: &str) -> Vec<String> {
    let errors = validator.iter_errors(value);
    errors
        .map(|error| format!("{place}{}: {error}", error.instance_path()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn departures_are_named() {
        let description = Description::read().unwrap();
        let body = json!({"branch": "main", "commit": 7, "env": {"A": 1}});
        let path = [("org", "acme".to_owned()), ("pipeline", "ci".to_owned())];
        let wrong = description.request(Operation::CreateBuild, &path, &[], Some(&body));
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        let path = [("job_id", "not-a-uuid".to_owned())];
        let wrong = description.request(Operation::StreamJobLogs, &path, &[], None);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        let good = json!({"status": "ok"});
        assert!(description.answer(Operation::Ping, 200, &good).is_empty());
        assert!(
            !description
                .answer(Operation::Ping, 200, &json!([]))
                .is_empty()
        );
    }
}

//! One node of the graph.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use hm_plugin_protocol::{Cache, SECRET_PREFIX};
use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;

use crate::json::{Reader, found, present};
use crate::path::Path;
use crate::pipeline::Target;
use crate::problem::Problem;
use crate::source::Place;
use crate::text::quote;
use crate::variable::variable_fault;

/// Cache policies of the v0 IR.
const POLICIES: [&str; 5] = ["none", "forever", "ttl", "on_change", "compose"];

/// What could be read of a node; complete if there was no problem.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) key: Option<String>,
    pub(super) key_offset: usize,
    pub(super) label: Option<String>,
    pub(super) command: Option<String>,
    pub(super) image: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) timeout: Option<Duration>,
    pub(super) cache: Option<Cache>,
    pub(super) runner: Option<String>,
    pub(super) runner_args: Option<serde_json::Value>,
    pub(super) references: Vec<(Place, Target)>,
}

/// Reads the node at `path`.
pub(super) fn read(value: &Value<'_>, path: &Path<'_>, reader: &mut Reader<'_>) -> Node {
    reader.enter_step(None);
    let mut node = Node {
        key_offset: value.range().start,
        ..Node::default()
    };
    let object = match value {
        Value::Object(object) => object,
        Value::NullKeyword(null) => {
            reader.holes(path, null.range.start, "null");
            return node;
        }
        other => {
            reader.mismatch(path, other, "an object with step and env");
            return node;
        }
    };
    let [step, env] = reader.members(object, path, ["step", "env"]);
    let step_path = path.member("step");
    if let Some(key) = step
        .and_then(Value::as_object)
        .and_then(|step| step.get_string("key"))
    {
        reader.enter_step(Some(&key.value));
    }
    let env_path = path.member("env");
    match env {
        None => reader.missing(object, &env_path, "an object of strings"),
        Some(env) => read_env(env, &env_path, reader, &mut node),
    }
    match step {
        None => reader.missing(object, &step_path, "an object with key and cmd"),
        Some(Value::Object(step)) => read_step(step, &step_path, reader, &mut node),
        Some(other) => reader.mismatch(&step_path, other, "an object with key and cmd"),
    }
    node
}

fn read_step(step: &Object<'_>, path: &Path<'_>, reader: &mut Reader<'_>, node: &mut Node) {
    let [
        key,
        cmd,
        label,
        image,
        env,
        timeout_seconds,
        cache,
        runner,
        runner_args,
    ] = reader.members(
        step,
        path,
        [
            "key",
            "cmd",
            "label",
            "image",
            "env",
            "timeout_seconds",
            "cache",
            "runner",
            "runner_args",
        ],
    );
    let key_path = path.member("key");
    match key {
        None => reader.missing(step, &key_path, "a string"),
        Some(value) => {
            node.key_offset = value.range().start;
            node.key = reader
                .string(value, &key_path, "a string")
                .map(ToString::to_string);
        }
    }
    let cmd_path = path.member("cmd");
    match cmd {
        None => reader.missing(step, &cmd_path, "a string"),
        Some(value) => {
            let command = reader.string_without_nul(value, &cmd_path, "a string");
            node.command = command.map(ToString::to_string);
        }
    }
    if let Some(value) = present(label) {
        let label = reader.string(value, &path.member("label"), "a string or null");
        node.label = label.map(ToString::to_string);
    }
    if let Some(value) = present(image) {
        node.image = self::image(value, &path.member("image"), reader);
    }
    if let Some(value) = present(env) {
        read_env(value, &path.member("env"), reader, node);
    }
    if let Some(value) = present(timeout_seconds) {
        node.timeout = timeout(value, &path.member("timeout_seconds"), reader);
    }
    if let Some(value) = present(cache) {
        node.cache = read_cache(value, &path.member("cache"), reader);
    }
    if let Some(value) = present(runner) {
        let path = path.member("runner");
        let runner = reader.string_without_nul(value, &path, "a string or null");
        node.runner = runner.map(ToString::to_string);
        let place = reader.place(&path, value.range().start);
        let targets = node
            .runner
            .clone()
            .map(|runner| (place, Target::Runner(runner)));
        node.references.extend(targets);
    }
    let args_path = path.member("runner_args");
    node.runner_args = present(runner_args).and_then(|value| reader.json(value, &args_path));
}

/// Reads variables; those of a later call win.
fn read_env(value: &Value<'_>, path: &Path<'_>, reader: &mut Reader<'_>, node: &mut Node) {
    let Value::Object(object) = value else {
        reader.mismatch(path, value, "an object of strings");
        return;
    };
    let mut seen: BTreeMap<&str, &Value<'_>> = BTreeMap::new();
    for property in &object.properties {
        let variable = property.name.as_str();
        match seen.entry(variable) {
            Entry::Occupied(first) => {
                reader.twice(path, property, variable, first.get());
                continue;
            }
            Entry::Vacant(slot) => slot.insert(&property.value),
        };
        let path = path.member(variable);
        if let Some(fault) = variable_fault(variable) {
            let message = format!("the variable name {} {fault}", quote(variable));
            reader.problem(&path, property.range.start, message);
        }
        let Some(text) = reader.string_without_nul(&property.value, &path, "a string") else {
            continue;
        };
        let place = || reader.place(&path, property.value.range().start);
        // A later value replaces an earlier one, so what that stood for is not needed.
        node.references.retain(|(_, target)| {
            !matches!(target, Target::Secret { variable: earlier, .. } if earlier == variable)
        });
        if let Some(secret) = text.strip_prefix(SECRET_PREFIX) {
            let (variable, secret) = (variable.to_owned(), secret.to_owned());
            node.references
                .push((place(), Target::Secret { variable, secret }));
        }
        node.env.insert(variable.to_owned(), text.to_string());
    }
}

/// Reads the name of an image.
pub(super) fn image(value: &Value<'_>, path: &Path<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let image = reader.string_without_nul(value, path, "a string or null")?;
    if image.trim().is_empty() {
        reader.problem(
            path,
            value.range().start,
            format!("empty image name {}", quote(image)),
        );
        return None;
    }
    Some(image.to_string())
}

/// Reads a number of seconds from 1 to 2^32 - 1.
pub(super) fn timeout(
    value: &Value<'_>,
    path: &Path<'_>,
    reader: &mut Reader<'_>,
) -> Option<Duration> {
    let seconds = match value {
        Value::NumberLit(number) => number.value.parse::<u32>().ok().filter(|&count| count > 0),
        _ => None,
    };
    if seconds.is_none() {
        let message = format!(
            "timeout must be a whole number of seconds from 1 to {}, found {}",
            u32::MAX,
            found(value)
        );
        reader.problem(path, value.range().start, message);
    }
    seconds.map(|count| Duration::from_secs(count.into()))
}

fn read_cache(value: &Value<'_>, path: &Path<'_>, reader: &mut Reader<'_>) -> Option<Cache> {
    let Value::Object(object) = value else {
        reader.mismatch(path, value, "an object with a policy, or null");
        return None;
    };
    // The rest of the object belongs to the policy and is carried along as it is.
    let [policy, key, ..] = reader.members(
        object,
        path,
        [
            "policy",
            "key",
            "env_keys",
            "duration_seconds",
            "paths",
            "sub_policies",
        ],
    );
    let policy_path = path.member("policy");
    let Some(policy) = policy else {
        reader.missing(object, &policy_path, "a string");
        return None;
    };
    let key = match present(key) {
        Some(key) => {
            let key = reader.string_without_nul(key, &path.member("key"), "a string or null")?;
            Some(key.to_string())
        }
        None => None,
    };
    let name = reader.string(policy, &policy_path, "a string")?;
    if !POLICIES.contains(&name.as_ref()) {
        let effect = match &key {
            Some(_) => "its key is taken as it is",
            None => "without a key, the step is not cached",
        };
        let place = reader.place(&policy_path, policy.range().start);
        let message = format!("unknown cache policy {}: {effect}", quote(name));
        reader.warnings.push(Problem::at(place, message));
    }
    if name == "none" {
        return None;
    }
    Some(Cache {
        policy: name.to_string(),
        key,
        document: reader.json(value, path)?,
    })
}

//! A build's plan, as the server reads it from the pipeline's IR: the graph form leniently,
//! the steps form strictly.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::{Map, Value};

/// What a root boots from when nobody says.
const DEFAULT_IMAGE: &str = "ubuntu:24.04";

/// Time of a step without one.
const STEP_TIMEOUT: Duration = Duration::from_secs(3600);

/// Jobs, each after those that it waits for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) jobs: Vec<Planned>,
    pub(crate) timeout: Option<Duration>,
}

/// A job to be.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) key: String,
    pub(crate) label: Option<String>,
    pub(crate) command: String,
    pub(crate) image: String,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) timeout: Duration,
    /// Boots from what this one left behind.
    pub(crate) parent: Option<usize>,
    /// Waits for these, its parent among them.
    pub(crate) after: Vec<usize>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Refused, with the build's error code.
    Rejected(&'static str, String),
    /// The server fails on it.
    Crash,
}

fn rejected<T>(code: &'static str, message: impl Into<String>) -> Result<T, Unreadable> {
    Err(Unreadable::Rejected(code, message.into()))
}

impl Plan {
    /// Reads the text of an IR document.
    pub(crate) fn read(text: &str) -> Result<Self, Unreadable> {
        let document: Value = match serde_json::from_str(text) {
            Ok(document) => document,
            Err(error) => {
                return rejected("invalid_json", format!("pipeline_ir is no JSON: {error}"));
            }
        };
        let timeout = document["timeout_seconds"]
            .as_u64()
            .map(Duration::from_secs);
        let jobs = if document["graph"].is_object() {
            if document["version"].as_str().unwrap_or("0") != "0" {
                return rejected("invalid_ir", "the graph's version is not supported");
            }
            graph_form(&document)?
        } else if let Some(steps) = document["steps"].as_array() {
            if document["version"].as_str() != Some("0") {
                return rejected("bad_version", "version must be \"0\"");
            }
            steps_form(&document, steps)?
        } else {
            return rejected("invalid_ir", "neither a graph nor steps");
        };
        Ok(Self { jobs, timeout })
    }
}

fn planned(
    step: &Map<String, Value>,
    env: &Value,
    default_image: &str,
) -> Result<Planned, Unreadable> {
    let text = |name: &str| step.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(key), Some(command)) = (text("key"), text("cmd")) else {
        return Err(Unreadable::Crash);
    };
    let env = env.as_object().into_iter().flatten();
    Ok(Planned {
        key,
        label: text("label"),
        command,
        image: text("image").unwrap_or_else(|| default_image.to_owned()),
        env: env
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
        timeout: step
            .get("timeout_seconds")
            .and_then(Value::as_u64)
            .map_or(STEP_TIMEOUT, Duration::from_secs),
        parent: None,
        after: Vec::new(),
    })
}

/// Nodes and edges. A node's own `env` counts, its step's does not.
fn graph_form(document: &Value) -> Result<Vec<Planned>, Unreadable> {
    let graph = &document["graph"];
    let (Some(nodes), Some(edges)) = (graph["nodes"].as_array(), graph["edges"].as_array()) else {
        return rejected("invalid_ir", "a graph has nodes and edges");
    };
    let default_image = document["default_image"].as_str().unwrap_or(DEFAULT_IMAGE);
    let mut jobs: Vec<Planned> = Vec::new();
    // Nodes of one key are one job.
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut of_node = Vec::new();
    for node in nodes {
        let Some(step) = node["step"].as_object() else {
            return rejected("invalid_ir", "a node has a step");
        };
        let job = planned(step, &node["env"], default_image)?;
        let place = *places.entry(job.key.clone()).or_insert(jobs.len());
        of_node.push(place);
        if place == jobs.len() {
            jobs.push(job);
        }
    }
    for edge in edges {
        let end = |at: usize| {
            let node = edge[at]
                .as_u64()
                .and_then(|node| usize::try_from(node).ok())?;
            of_node.get(node).copied()
        };
        let (Some(before), Some(after)) = (end(0), end(1)) else {
            return rejected("invalid_ir", "an edge leads nowhere");
        };
        match edge[2].as_str() {
            Some("builds_in") => jobs[after].parent = Some(before),
            Some("depends_on") => {}
            _ => return rejected("invalid_ir", "an edge is of no known kind"),
        }
        if !jobs[after].after.contains(&before) {
            jobs[after].after.push(before);
        }
    }
    Ok(sorted(jobs).0)
}

fn steps_form(document: &Value, steps: &[Value]) -> Result<Vec<Planned>, Unreadable> {
    let mut jobs: Vec<Planned> = Vec::new();
    let mut waits: Vec<Vec<String>> = Vec::new();
    for step in steps {
        let Some(step) = step.as_object() else {
            return rejected("invalid_ir", "a step is an object");
        };
        let mut env = document["env"].as_object().cloned().unwrap_or_default();
        let own = step.get("env").and_then(Value::as_object);
        env.extend(own.cloned().unwrap_or_default());
        let job = planned(step, &Value::Object(env), DEFAULT_IMAGE)?;
        if jobs.iter().any(|known| known.key == job.key) {
            return rejected(
                "duplicate_key",
                format!("two steps have the key {:?}", job.key),
            );
        }
        let keys = step.get("depends_on").and_then(Value::as_array);
        let keys = keys.into_iter().flatten().filter_map(Value::as_str);
        waits.push(keys.map(str::to_owned).collect());
        jobs.push(job);
    }
    for (index, keys) in waits.iter().enumerate() {
        for key in keys {
            let Some(before) = jobs.iter().position(|job| job.key == *key) else {
                return rejected("unknown_dependency", format!("there is no step {key:?}"));
            };
            jobs[index].after.push(before);
        }
    }
    match sorted(jobs) {
        (jobs, true) => Ok(jobs),
        (_, false) => rejected("cycle", "the steps wait for each other in a circle"),
    }
}

/// Puts jobs after those that they wait for. Those in a circle come last, and never run.
fn sorted(jobs: Vec<Planned>) -> (Vec<Planned>, bool) {
    let mut order: Vec<usize> = Vec::with_capacity(jobs.len());
    let mut missing: Vec<usize> = jobs.iter().map(|job| job.after.len()).collect();
    let mut heirs = vec![Vec::new(); jobs.len()];
    for (index, job) in jobs.iter().enumerate() {
        for before in &job.after {
            heirs[*before].push(index);
        }
    }
    let mut ready: std::collections::BTreeSet<usize> =
        (0..jobs.len()).filter(|job| missing[*job] == 0).collect();
    while let Some(job) = ready.pop_first() {
        order.push(job);
        for heir in &heirs[job] {
            missing[*heir] -= 1;
            if missing[*heir] == 0 {
                ready.insert(*heir);
            }
        }
    }
    let is_acyclic = order.len() == jobs.len();
    order.extend((0..jobs.len()).filter(|job| missing[*job] > 0));
    let mut place = vec![0; jobs.len()];
    for (now, before) in order.iter().enumerate() {
        place[*before] = now;
    }
    let mut jobs: Vec<Option<Planned>> = jobs.into_iter().map(Some).collect();
    let moved = order.iter().filter_map(|job| {
        let mut job = jobs[*job].take()?;
        job.parent = job.parent.map(|parent| place[parent]);
        job.after = job.after.iter().map(|before| place[*before]).collect();
        Some(job)
    });
    (moved.collect(), is_acyclic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> &'static str {
        match Plan::read(text) {
            Err(Unreadable::Rejected(code, _)) => code,
            Err(Unreadable::Crash) => "crash",
            Ok(_) => "read",
        }
    }

    #[test]
    fn refusals_have_the_servers_codes() {
        for (text, expected) in [
            ("{", "invalid_json"),
            ("[]", "invalid_ir"),
            (
                r#"{"version":"7","graph":{"nodes":[],"edges":[]}}"#,
                "invalid_ir",
            ),
            (r#"{"version":"7","steps":[]}"#, "bad_version"),
            (r#"{"version":"0","graph":{"nodes":[],"edges":[]}}"#, "read"),
            (
                r#"{"version":"0","graph":{"nodes":[{"step":{"key":"a"}}],"edges":[]}}"#,
                "crash",
            ),
            (
                r#"{"version":"0","steps":[{"key":"a","cmd":"x"},{"key":"a","cmd":"y"}]}"#,
                "duplicate_key",
            ),
            (
                r#"{"version":"0","steps":[{"key":"a","cmd":"x","depends_on":["b"]}]}"#,
                "unknown_dependency",
            ),
            (
                r#"{"version":"0","steps":[{"key":"a","cmd":"x","depends_on":["a"]}]}"#,
                "cycle",
            ),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn a_graph_is_put_in_order_and_keeps_node_environments_only() {
        let text = r#"{"version":"0","graph":{"nodes":[
            {"step":{"key":"b","cmd":"2","env":{"X":"step"}},"env":{"X":"node"}},
            {"step":{"key":"a","cmd":"1"},"env":{}}],"edges":[[1,0,"builds_in"]]}}"#;
        let plan = Plan::read(text).unwrap();
        let keys: Vec<_> = plan.jobs.iter().map(|job| job.key.as_str()).collect();
        assert_eq!(keys, ["a", "b"]);
        assert_eq!(plan.jobs[1].parent, Some(0));
        assert_eq!(plan.jobs[1].env["X"], "node");
    }
}

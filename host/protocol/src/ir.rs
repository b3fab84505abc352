//! A plan as a bare v0 IR document.

use serde_json::{Map, Value, json};

use crate::plan::{Plan, Step};

/// Returns the plan as the bare v0 document that a service or another host reads.
///
/// Node `env` is complete, so `step.env` is never written; `default_image` neither,
/// since every root step has its own image.
pub fn document(plan: &Plan) -> Value {
    let nodes: Vec<Value> = plan.steps.iter().map(node).collect();
    let edges: Vec<Value> = plan
        .edges
        .iter()
        .map(|edge| json!([edge.before, edge.after, edge.kind.as_str()]))
        .collect();
    let mut document = Map::new();
    document.insert("version".into(), json!("0"));
    if let Some(timeout) = plan.timeout {
        document.insert("timeout_seconds".into(), json!(timeout.as_secs().max(1)));
    }
    document.insert(
        "graph".into(),
        json!({"nodes": nodes, "node_holes": [], "edge_property": "directed", "edges": edges}),
    );
    Value::Object(document)
}

fn node(step: &Step) -> Value {
    let mut fields = Map::new();
    fields.insert("key".into(), json!(step.key));
    fields.insert("cmd".into(), json!(step.command));
    let mut optional = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.into(), value);
        }
    };
    optional("label", step.label.as_ref().map(|label| json!(label)));
    optional("image", step.image.as_ref().map(|image| json!(image)));
    optional(
        "timeout_seconds",
        step.timeout.map(|t| json!(t.as_secs().max(1))),
    );
    optional(
        "cache",
        step.cache.as_ref().map(|cache| cache.document.clone()),
    );
    optional("runner", step.runner.as_ref().map(|runner| json!(runner)));
    optional("runner_args", step.runner_args.clone());
    json!({"step": fields, "env": step.env})
}

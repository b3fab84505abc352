//! A bare document to a plan.

use std::collections::HashMap;

use hm_plugin_protocol::{EdgeKind, Plan, Step};
use jsonc_parser::ast::{Object, Value};

use super::edges::{self, ReadEdge};
use super::step::{self, Node};
use crate::cycle;
use crate::json::{Reader, present};
use crate::path::Path;
use crate::pipeline::{Checked, Reference};
use crate::problem::{self, Problem};
use crate::text::{name, quote};

/// Checks the bare document `document`, which stands at `path`.
pub(super) fn read(
    document: &Object<'_>,
    path: &Path<'_>,
    mut reader: Reader<'_>,
    slug: &str,
    default_image: &str,
) -> Result<Checked, Vec<Problem>> {
    let range = document.range.start..document.range.end;
    let [version, timeout, image, graph] = reader.members(
        document,
        path,
        ["version", "timeout_seconds", "default_image", "graph"],
    );
    check_version(version, &path.member("version"), &mut reader);
    let timeout = present(timeout)
        .and_then(|v| step::timeout(v, &path.member("timeout_seconds"), &mut reader));
    let own_image =
        present(image).and_then(|v| step::image(v, &path.member("default_image"), &mut reader));
    let default_image = own_image.as_deref().unwrap_or(default_image);
    let mut plan = Plan {
        pipeline: slug.to_owned(),
        steps: Vec::new(),
        edges: Vec::new(),
        timeout,
    };
    let mut references = Vec::new();
    let graph_path = path.member("graph");
    match graph {
        None => {
            let hint = "a bare document has `version` and `graph`, an envelope \
                        `schema_version` and `pipelines`";
            reader.missing(document, &graph_path, "an object with nodes and edges");
            if let Some(problem) = reader.problems.last_mut() {
                problem.hint = Some(hint.to_owned());
            }
        }
        Some(Value::Object(graph)) => {
            references = read_graph(graph, &graph_path, &mut reader, default_image, &mut plan);
        }
        Some(other) => reader.mismatch(&graph_path, other, "an object with nodes and edges"),
    }
    reader.finish(|at| range.contains(&at));
    if reader.problems.is_empty() {
        let Reader {
            warnings,
            unknown_fields,
            ..
        } = reader;
        return Ok(Checked {
            plan,
            warnings,
            unknown_fields,
            references,
        });
    }
    problem::sort(&mut reader.problems);
    Err(reader.problems)
}

fn check_version(version: Option<&Value<'_>>, path: &Path<'_>, reader: &mut Reader<'_>) {
    match version {
        None => {}
        Some(Value::StringLit(text)) if text.value == "0" => {}
        Some(Value::StringLit(text)) => {
            let message = format!(
                "unknown IR version {}; this hm reads \"0\"",
                quote(&text.value)
            );
            reader.problem(path, text.range.start, message).hint =
                Some("update hm or the DSL".to_owned());
        }
        Some(other) => reader.mismatch(path, other, "the string \"0\""),
    }
}

fn read_graph(
    graph: &Object<'_>,
    path: &Path<'_>,
    reader: &mut Reader<'_>,
    default_image: &str,
    plan: &mut Plan,
) -> Vec<Reference> {
    let [nodes, holes, property, edges] = reader.members(
        graph,
        path,
        ["nodes", "node_holes", "edge_property", "edges"],
    );
    check_form(graph, holes, property, path, reader);
    let nodes_path = path.member("nodes");
    let read = match nodes {
        None => {
            reader.missing(graph, &nodes_path, "an array of nodes");
            None
        }
        Some(Value::Array(array)) => {
            let node = |(index, value)| step::read(value, &nodes_path.index(index), reader);
            Some(
                array
                    .elements
                    .iter()
                    .enumerate()
                    .map(node)
                    .collect::<Vec<Node>>(),
            )
        }
        Some(other) => {
            reader.mismatch(&nodes_path, other, "an array of nodes");
            None
        }
    };
    reader.enter_step(None);
    let edges_path = path.member("edges");
    let count = read.as_ref().map(Vec::len);
    let edges = match edges {
        None => {
            reader.missing(graph, &edges_path, "an array of edges");
            Vec::new()
        }
        Some(Value::Array(array)) => edges::read(array, count, &edges_path, reader),
        Some(other) => {
            reader.mismatch(&edges_path, other, "an array of edges");
            Vec::new()
        }
    };
    let Some(nodes) = read else { return Vec::new() };
    if nodes.is_empty() {
        let place = reader.place(&nodes_path, graph.range.start);
        reader.warnings.push(Problem::at(
            place,
            "the pipeline has no steps: it passes at once",
        ));
    }
    check_keys(&nodes, &nodes_path, reader);
    check_edges(&nodes, &edges, &edges_path, reader);
    if !reader.problems.is_empty() {
        return Vec::new();
    }
    assemble(nodes, edges, default_image, plan)
}

fn check_form(
    graph: &Object<'_>,
    holes: Option<&Value<'_>>,
    property: Option<&Value<'_>>,
    path: &Path<'_>,
    reader: &mut Reader<'_>,
) {
    let holes_path = path.member("node_holes");
    match present(holes) {
        None => {}
        Some(Value::Array(array)) if array.elements.is_empty() => {}
        Some(Value::Array(array)) => {
            reader.holes(&holes_path, array.range.start, array.elements.len());
        }
        Some(other) => reader.mismatch(&holes_path, other, "an empty array"),
    }
    let property_path = path.member("edge_property");
    match property {
        None => reader.missing(graph, &property_path, "the string \"directed\""),
        Some(Value::StringLit(text)) if text.value == "directed" => {}
        Some(other) => reader.mismatch(&property_path, other, "the string \"directed\""),
    }
}

fn check_keys(nodes: &[Node], path: &Path<'_>, reader: &mut Reader<'_>) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        let Some(key) = node.key.as_deref() else {
            continue;
        };
        let Some(&earlier) = first.get(key) else {
            first.insert(key, index);
            continue;
        };
        let label = |node: &Node| node.label.as_deref().map_or("none".to_owned(), quote);
        let message = format!(
            "duplicate key {}: nodes {earlier} and {index} (labels {} and {})",
            quote(key),
            label(&nodes[earlier]),
            label(node),
        );
        let path = path.index(index);
        let path = path.member("step");
        reader
            .problem(&path.member("key"), node.key_offset, message)
            .hint = Some("set `key=` on one of them".to_owned());
    }
}

fn check_edges(nodes: &[Node], edges: &[ReadEdge], path: &Path<'_>, reader: &mut Reader<'_>) {
    let shown = |step: u32| match nodes[step as usize].key.as_deref() {
        Some(key) => name(key),
        None => format!("node {step}"),
    };
    let mut parent: Vec<Option<u32>> = vec![None; nodes.len()];
    for ReadEdge {
        edge,
        index,
        offset,
    } in edges
    {
        if edge.kind != EdgeKind::BuildsIn {
            continue;
        }
        match parent[edge.after as usize] {
            None => parent[edge.after as usize] = Some(edge.before),
            Some(first) if first == edge.before => {}
            Some(first) => {
                let message = format!(
                    "step {} builds in both {} and {}; only one is allowed",
                    shown(edge.after),
                    shown(first),
                    shown(edge.before)
                );
                reader.problem(&path.index(*index), *offset, message).hint =
                    Some("wait for the other one behind a barrier".to_owned());
            }
        }
    }
    let plain: Vec<_> = edges.iter().map(|read| read.edge).collect();
    for cycle in cycle::cycles(nodes.len(), &plain) {
        let message = cycle::describe(&cycle, &plain, |step| nodes[step].key.as_deref());
        // The last edge is the one that closes the cycle.
        let last = &edges[cycle[cycle.len() - 1]];
        reader.problem(&path.index(last.index), last.offset, message);
    }
}

/// Makes steps and edges of nodes in which nothing is wrong.
fn assemble(
    nodes: Vec<Node>,
    edges: Vec<ReadEdge>,
    default_image: &str,
    plan: &mut Plan,
) -> Vec<Reference> {
    let mut references = Vec::new();
    let mut is_child = vec![false; nodes.len()];
    for read in &edges {
        is_child[read.edge.after as usize] |= read.edge.kind == EdgeKind::BuildsIn;
    }
    for (id, node) in (0u32..).zip(nodes) {
        let targets = node.references.into_iter();
        references.extend(targets.map(|(place, target)| Reference {
            place,
            step: id,
            target,
        }));
        let image = node.image.unwrap_or_else(|| default_image.to_owned());
        plan.steps.push(Step {
            key: node.key.unwrap_or_default(),
            label: node.label,
            command: node.command.unwrap_or_default(),
            // What the parent left behind wins over an image of the child's own.
            image: (!is_child[id as usize]).then_some(image),
            env: node.env,
            timeout: node.timeout,
            cache: node.cache,
            runner: node.runner,
            runner_args: node.runner_args,
            network: None,
        });
    }
    plan.edges = edges::unique(edges.into_iter().map(|read| read.edge));
    references
}

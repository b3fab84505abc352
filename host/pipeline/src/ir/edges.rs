//! `[before, after, kind]` triples.

use std::collections::HashSet;

use hm_plugin_protocol::{Edge, EdgeKind, StepId};
use jsonc_parser::ast::{Array, Value};
use jsonc_parser::common::Ranged;

use crate::json::{Reader, found};
use crate::path::Path;
use crate::text::quote;

/// An edge between nodes that exist.
pub(super) struct ReadEdge {
    pub(super) edge: Edge,
    /// In the document's array.
    pub(super) index: usize,
    pub(super) offset: usize,
}

/// Reads the edges between `nodes` nodes; without a number, ends go unchecked and
/// no edge is returned.
pub(super) fn read(
    array: &Array<'_>,
    nodes: Option<usize>,
    path: &Path<'_>,
    reader: &mut Reader<'_>,
) -> Vec<ReadEdge> {
    let mut edges = Vec::with_capacity(array.elements.len());
    for (index, value) in array.elements.iter().enumerate() {
        let offset = value.range().start;
        if let Some(edge) = read_edge(value, nodes, &path.index(index), reader) {
            edges.push(ReadEdge {
                edge,
                index,
                offset,
            });
        }
    }
    edges
}

fn read_edge(
    value: &Value<'_>,
    nodes: Option<usize>,
    path: &Path<'_>,
    reader: &mut Reader<'_>,
) -> Option<Edge> {
    let parts = match value {
        Value::Array(array) => array.elements.as_slice(),
        Value::NullKeyword(null) => {
            reader.holes(path, null.range.start, "null");
            return None;
        }
        other => {
            reader.mismatch(path, other, "an array of two node numbers and a kind");
            return None;
        }
    };
    let [before, after, kind] = parts else {
        let message = format!(
            "expected two node numbers and a kind, found {} elements",
            parts.len()
        );
        reader.problem(path, value.range().start, message);
        return None;
    };
    let before = end(before, nodes, &path.index(0), reader);
    let after = end(after, nodes, &path.index(1), reader);
    let kind = edge_kind(kind, &path.index(2), reader);
    Some(Edge {
        before: before?,
        after: after?,
        kind: kind?,
    })
}

fn end(
    value: &Value<'_>,
    nodes: Option<usize>,
    path: &Path<'_>,
    reader: &mut Reader<'_>,
) -> Option<StepId> {
    let Value::NumberLit(number) = value else {
        reader.mismatch(path, value, "a node number");
        return None;
    };
    let digits = number.value.strip_prefix('-').unwrap_or(number.value);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        reader.mismatch(path, value, "a node number");
        return None;
    }
    let nodes = nodes?;
    match number.value.parse::<StepId>() {
        Ok(node) if (node as usize) < nodes => Some(node),
        _ => {
            let plural = if nodes == 1 { "" } else { "s" };
            let shown: String = number.value.chars().take(40).collect();
            let message = format!("node {shown} does not exist ({nodes} node{plural})");
            reader.problem(path, number.range.start, message);
            None
        }
    }
}

fn edge_kind(value: &Value<'_>, path: &Path<'_>, reader: &mut Reader<'_>) -> Option<EdgeKind> {
    let expected = "\"builds_in\" or \"depends_on\"";
    match value {
        Value::StringLit(text) => match text.value.as_ref() {
            "builds_in" => Some(EdgeKind::BuildsIn),
            "depends_on" => Some(EdgeKind::DependsOn),
            other => {
                let message = format!("unknown edge kind {}, expected {expected}", quote(other));
                reader.problem(path, text.range.start, message);
                None
            }
        },
        other => {
            let message = format!("expected the edge kind {expected}, found {}", found(other));
            reader.problem(path, other.range().start, message);
            None
        }
    }
}

/// Returns the edges without repetitions, in their order.
pub(crate) fn unique(edges: impl Iterator<Item = Edge>) -> Vec<Edge> {
    let mut seen = HashSet::new();
    edges.filter(|edge| seen.insert(*edge)).collect()
}

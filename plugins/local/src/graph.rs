//! The plan's graph, as the scheduler asks for it.

use hm_backend_sdk::{Edge, EdgeKind, StepId};
use petgraph::Direction;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

/// Steps and the edges between them, each pair once.
#[derive(Debug)]
pub struct StepGraph {
    graph: DiGraph<(), EdgeKind>,
    parent: Vec<Option<StepId>>,
    urgency: Vec<u32>,
}

/// Edges that are no graph; the host promises a plan without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadEdges {
    /// An edge names a step that the plan does not have.
    OutOfRange,
    /// A step waits for itself.
    Cycle,
}

impl StepGraph {
    /// Makes the graph of `steps` steps.
    ///
    /// # Errors
    /// The edges do not fit the steps, or go in a circle.
    pub fn new(steps: usize, edges: &[Edge]) -> Result<Self, BadEdges> {
        let mut pairs = Vec::with_capacity(edges.len());
        let mut parent = vec![None; steps];
        for edge in edges {
            if edge.before as usize >= steps || edge.after as usize >= steps {
                return Err(BadEdges::OutOfRange);
            }
            if edge.kind == EdgeKind::BuildsIn {
                parent[edge.after as usize] = Some(edge.before);
            }
            pairs.push((edge.before, edge.after));
        }
        // A pair may carry both kinds; inheriting includes waiting.
        pairs.sort_unstable();
        pairs.dedup();
        let mut graph = DiGraph::with_capacity(steps, pairs.len());
        for _ in 0..steps {
            graph.add_node(());
        }
        for (before, after) in pairs {
            let inherits = parent[after as usize] == Some(before);
            let kind = if inherits {
                EdgeKind::BuildsIn
            } else {
                EdgeKind::DependsOn
            };
            graph.add_edge(
                NodeIndex::new(before as usize),
                NodeIndex::new(after as usize),
                kind,
            );
        }
        let urgency = urgency(&graph)?;
        Ok(Self {
            graph,
            parent,
            urgency,
        })
    }

    /// Returns the number of steps.
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// Returns true if there is no step.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many steps `step` waits for.
    pub fn predecessor_count(&self, step: StepId) -> u32 {
        self.graph
            .edges_directed(node(step), Direction::Incoming)
            .count() as u32
    }

    /// Returns the steps that wait for `step`, and how.
    pub fn successors(&self, step: StepId) -> impl Iterator<Item = (StepId, EdgeKind)> {
        self.graph
            .edges(node(step))
            .map(|edge| (edge.target().index() as StepId, *edge.weight()))
    }

    /// Returns the steps that start from what `step` leaves behind.
    pub fn children(&self, step: StepId) -> impl Iterator<Item = StepId> {
        self.successors(step)
            .filter(|(_, kind)| *kind == EdgeKind::BuildsIn)
            .map(|(child, _)| child)
    }

    /// Returns the step from whose state `step` starts.
    pub fn parent(&self, step: StepId) -> Option<StepId> {
        self.parent[step as usize]
    }

    /// Returns the number of steps on the longest path from `step` on, itself included:
    /// what cannot be shortened by more slots.
    pub fn urgency(&self, step: StepId) -> u32 {
        self.urgency[step as usize]
    }
}

fn node(step: StepId) -> NodeIndex {
    NodeIndex::new(step as usize)
}

fn urgency(graph: &DiGraph<(), EdgeKind>) -> Result<Vec<u32>, BadEdges> {
    let order = toposort(graph, None).map_err(|_| BadEdges::Cycle)?;
    let mut urgency = vec![0; order.len()];
    for step in order.into_iter().rev() {
        let rest = graph
            .neighbors(step)
            .map(|next| urgency[next.index()])
            .max();
        urgency[step.index()] = 1 + rest.unwrap_or(0);
    }
    Ok(urgency)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(before: StepId, after: StepId, kind: EdgeKind) -> Edge {
        Edge {
            before,
            after,
            kind,
        }
    }

    #[test]
    fn a_pair_with_both_kinds_counts_once_and_inherits() {
        let edges = [
            edge(0, 1, EdgeKind::DependsOn),
            edge(0, 1, EdgeKind::BuildsIn),
            edge(0, 1, EdgeKind::DependsOn),
        ];
        let graph = StepGraph::new(2, &edges).unwrap();
        assert_eq!(graph.predecessor_count(1), 1);
        assert_eq!(graph.children(0).collect::<Vec<_>>(), [1]);
        assert_eq!((graph.urgency(0), graph.urgency(1)), (2, 1));
    }

    #[test]
    fn bad_edges_are_told_apart() {
        let out = StepGraph::new(1, &[edge(0, 1, EdgeKind::DependsOn)]).unwrap_err();
        assert_eq!(out, BadEdges::OutOfRange);
        let round = [
            edge(0, 1, EdgeKind::DependsOn),
            edge(1, 0, EdgeKind::DependsOn),
        ];
        assert_eq!(StepGraph::new(2, &round).unwrap_err(), BadEdges::Cycle);
    }
}

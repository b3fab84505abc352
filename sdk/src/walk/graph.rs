//! Which steps are ready, as steps pass.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::bindings::hm::backend::types::{EdgeKind, Plan, StepId};

/// The first in the plan's order comes out first.
type Steps = BinaryHeap<Reverse<StepId>>;

#[derive(Debug)]
pub(super) struct Graph {
    parents: Vec<Option<StepId>>,
    heirs: Vec<usize>,
    after: Vec<Vec<StepId>>,
    /// Predecessors that have not passed; none for a step that was taken.
    open: Vec<Option<usize>>,
    ready: Steps,
}

impl Graph {
    /// The host has checked the edges: they are in range, without circles.
    pub(super) fn new(plan: &Plan) -> Self {
        let len = plan.steps.len();
        let mut graph = Self {
            parents: vec![None; len],
            heirs: vec![0; len],
            after: vec![Vec::new(); len],
            open: vec![Some(0); len],
            ready: Steps::new(),
        };
        for edge in &plan.edges {
            let (before, after) = (edge.before as usize, edge.after as usize);
            graph.after[before].push(edge.after);
            graph.open[after] = graph.open[after].map(|open| open + 1);
            if edge.kind == EdgeKind::BuildsIn {
                graph.parents[after] = Some(edge.before);
                graph.heirs[before] += 1;
            }
        }
        for (step, open) in (0..).zip(&graph.open) {
            if *open == Some(0) {
                graph.ready.push(Reverse(step));
            }
        }
        graph
    }

    /// Takes the first step that is ready, in the plan's order.
    pub(super) fn take_ready(&mut self) -> Option<StepId> {
        let Reverse(step) = self.ready.pop()?;
        self.open[step as usize] = None;
        Some(step)
    }

    pub(super) fn passed(&mut self, step: StepId) {
        for &after in &self.after[step as usize] {
            if let Some(open) = &mut self.open[after as usize] {
                *open -= 1;
                if *open == 0 {
                    self.ready.push(Reverse(after));
                }
            }
        }
    }

    /// Takes all steps that wait for `step`, near or far, in the plan's order: they never
    /// become ready.
    pub(super) fn take_dependents(&mut self, step: StepId) -> impl Iterator<Item = StepId> + use<> {
        let mut taken = Steps::new();
        let mut open = vec![step];
        while let Some(step) = open.pop() {
            for &after in &self.after[step as usize] {
                if self.open[after as usize].take().is_some() {
                    taken.push(Reverse(after));
                    open.push(after);
                }
            }
        }
        std::iter::from_fn(move || taken.pop().map(|Reverse(step)| step))
    }

    pub(super) fn parent(&self, step: StepId) -> Option<StepId> {
        self.parents[step as usize]
    }

    pub(super) fn heirs(&self, step: StepId) -> usize {
        self.heirs[step as usize]
    }
}

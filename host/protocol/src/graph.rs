//! Questions about a plan's graph, answered in linear time and without recursion.
//!
//! They live beside the plan because both the session (order checks) and the
//! renderer (chains, critical path) ask them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::plan::{EdgeKind, Plan, StepId};

/// Adjacency of a plan, made once and shared.
#[derive(Debug, Clone)]
pub struct PlanGraph {
    before: Adjacency,
    after: Adjacency,
    parent: Vec<Option<StepId>>,
}

/// Neighbours of every step in one flat array (compressed rows).
#[derive(Debug, Clone)]
struct Adjacency {
    starts: Vec<u32>,
    neighbours: Vec<StepId>,
}

impl Adjacency {
    fn new(len: usize, pairs: impl Iterator<Item = (StepId, StepId)> + Clone) -> Self {
        let mut starts = vec![0u32; len + 1];
        for (from, _) in pairs.clone() {
            starts[from as usize + 1] += 1;
        }
        for index in 0..len {
            starts[index + 1] += starts[index];
        }
        let mut next = starts.clone();
        let mut neighbours = vec![0; starts[len] as usize];
        for (from, to) in pairs {
            let slot = &mut next[from as usize];
            neighbours[*slot as usize] = to;
            *slot += 1;
        }
        Self { starts, neighbours }
    }

    fn of(&self, step: StepId) -> &[StepId] {
        let step = step as usize;
        &self.neighbours[self.starts[step] as usize..self.starts[step + 1] as usize]
    }
}

impl PlanGraph {
    /// Builds the adjacency of `plan`, whose edges are in range and acyclic.
    pub fn new(plan: &Plan) -> Self {
        // The same pair may carry both kinds; as order it counts once.
        let mut pairs: Vec<_> = plan.edges.iter().map(|e| (e.before, e.after)).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let len = plan.steps.len();
        let mut parent = vec![None; len];
        for edge in &plan.edges {
            if edge.kind == EdgeKind::BuildsIn {
                parent[edge.after as usize] = Some(edge.before);
            }
        }
        Self {
            before: Adjacency::new(len, pairs.iter().map(|&(b, a)| (a, b))),
            after: Adjacency::new(len, pairs.iter().copied()),
            parent,
        }
    }

    /// Returns the number of steps.
    pub fn len(&self) -> usize {
        self.parent.len()
    }

    /// Returns true if the plan has no step.
    pub fn is_empty(&self) -> bool {
        self.parent.is_empty()
    }

    /// Returns the steps that must pass before `step` starts, each once.
    pub fn predecessors(&self, step: StepId) -> &[StepId] {
        self.before.of(step)
    }

    /// Returns the steps that wait for `step`, each once.
    pub fn successors(&self, step: StepId) -> &[StepId] {
        self.after.of(step)
    }

    /// Returns the step whose file system `step` inherits.
    pub fn parent(&self, step: StepId) -> Option<StepId> {
        self.parent[step as usize]
    }

    /// Returns the steps in an order in which each comes after its predecessors, the
    /// smallest index first where there is a choice.
    pub fn order(&self) -> Vec<StepId> {
        let mut missing: Vec<usize> = (0..self.len())
            .map(|s| self.predecessors(s as StepId).len())
            .collect();
        let mut ready: BinaryHeap<Reverse<StepId>> = (0..self.len() as StepId)
            .filter(|&s| missing[s as usize] == 0)
            .map(Reverse)
            .collect();
        let mut order = Vec::with_capacity(self.len());
        while let Some(Reverse(step)) = ready.pop() {
            order.push(step);
            for &next in self.successors(step) {
                missing[next as usize] -= 1;
                if missing[next as usize] == 0 {
                    ready.push(Reverse(next));
                }
            }
        }
        order
    }

    /// Returns the longest path by `cost`, first step first. What it returns took
    /// the build's time: shortening any other step gains nothing.
    pub fn critical_path(&self, cost: impl Fn(StepId) -> u64) -> Vec<StepId> {
        let mut total = vec![0u64; self.len()];
        let mut via: Vec<Option<StepId>> = vec![None; self.len()];
        let mut last: Option<StepId> = None;
        for step in self.order() {
            let longest = self.predecessors(step).iter().copied().max_by_key(|&p| {
                // The earlier index wins among equals, so that the answer is stable.
                (total[p as usize], Reverse(p))
            });
            via[step as usize] = longest;
            let before = longest.map_or(0, |p| total[p as usize]);
            total[step as usize] = before.saturating_add(cost(step));
            if last.is_none_or(|l| total[step as usize] > total[l as usize]) {
                last = Some(step);
            }
        }
        let mut path = Vec::new();
        while let Some(step) = last {
            path.push(step);
            last = via[step as usize];
        }
        path.reverse();
        path
    }

    /// Returns the chains of the plan, by the rule of the v0 IR (reference `ir-v0`,
    /// section 3): forks, barriers and double edges end a chain.
    pub fn chains(&self, plan: &Plan) -> Chains {
        let mut incoming = vec![0u32; self.len()];
        let mut children: Vec<(u32, StepId)> = vec![(0, 0); self.len()];
        for edge in &plan.edges {
            incoming[edge.after as usize] += 1;
            if edge.kind == EdgeKind::BuildsIn {
                let child = &mut children[edge.before as usize];
                *child = (child.0 + 1, edge.after);
            }
        }
        let mut chain = vec![u32::MAX; self.len()];
        let mut position = vec![0; self.len()];
        let mut count = 0;
        for first in 0..self.len() {
            if chain[first] != u32::MAX {
                continue;
            }
            let (mut step, mut place) = (first, 0);
            loop {
                chain[step] = count;
                position[step] = place;
                let (number, child) = children[step];
                let child = child as usize;
                if number != 1 || chain[child] != u32::MAX || incoming[child] != 1 {
                    break;
                }
                step = child;
                place += 1;
            }
            count += 1;
        }
        Chains {
            chain,
            position,
            count,
        }
    }
}

/// Which chain each step belongs to, for display and counting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chains {
    /// Number of the chain, by step.
    pub chain: Vec<u32>,
    /// Place within the chain, by step; starts at 0.
    pub position: Vec<u32>,
    /// How many chains there are.
    pub count: u32,
}

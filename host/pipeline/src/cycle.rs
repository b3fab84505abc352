//! Cycles among steps, found without recursion and in linear time.

use hm_plugin_protocol::Edge;

use crate::text::name;

/// Most steps that a message about a cycle names.
const MOST_NAMED: usize = 12;

/// Returns cycles as lists of edge indices, each edge leading to the next one's
/// start. No two share a step, so a tangle is told once and not in all its variants.
/// Every edge's ends are below `len`.
pub(crate) fn cycles(len: usize, edges: &[Edge]) -> Vec<Vec<usize>> {
    let outgoing = Outgoing::new(len, edges);
    let mut search = Search {
        state: vec![State::New; len],
        stack: Vec::new(),
        cycles: Vec::new(),
    };
    for root in 0..len {
        if search.state[root] == State::New {
            search.from(root, &outgoing, edges);
        }
    }
    search.cycles
}

/// Returns "a → b → a (builds_in, depends_on)" for a cycle.
pub(crate) fn describe<'k>(
    cycle: &[usize],
    edges: &[Edge],
    key: impl Fn(usize) -> Option<&'k str>,
) -> String {
    let shown = |step: u32| match key(step as usize) {
        Some(key) => name(key),
        None => format!("node {step}"),
    };
    let steps: Vec<u32> = cycle.iter().map(|&edge| edges[edge].before).collect();
    let mut parts: Vec<String> = steps
        .iter()
        .take(MOST_NAMED)
        .map(|&step| shown(step))
        .collect();
    let mut kinds: Vec<&str> = cycle
        .iter()
        .take(MOST_NAMED)
        .map(|&edge| edges[edge].kind.as_str())
        .collect();
    if steps.len() > MOST_NAMED {
        parts.push(format!("({} more)", steps.len() - MOST_NAMED));
        kinds.push("…");
    }
    parts.push(shown(steps[0]));
    format!("cycle: {} ({})", parts.join(" → "), kinds.join(", "))
}

/// Edge indices by the step they start from.
struct Outgoing {
    starts: Vec<usize>,
    edges: Vec<usize>,
}

impl Outgoing {
    fn new(len: usize, edges: &[Edge]) -> Self {
        let mut starts = vec![0; len + 1];
        for edge in edges {
            starts[edge.before as usize + 1] += 1;
        }
        for index in 0..len {
            starts[index + 1] += starts[index];
        }
        let mut next = starts.clone();
        let mut sorted = vec![0; edges.len()];
        for (index, edge) in edges.iter().enumerate() {
            let slot = &mut next[edge.before as usize];
            sorted[*slot] = index;
            *slot += 1;
        }
        Self {
            starts,
            edges: sorted,
        }
    }

    fn nth(&self, step: usize, index: usize) -> Option<usize> {
        self.edges[self.starts[step]..self.starts[step + 1]]
            .get(index)
            .copied()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// On the stack, at this height.
    Open(usize),
    Done,
}

/// A step on the way from the root of the search.
struct Visit {
    step: usize,
    next: usize,
    /// Edge by which the search came here.
    via: Option<usize>,
}

struct Search {
    state: Vec<State>,
    stack: Vec<Visit>,
    cycles: Vec<Vec<usize>>,
}

impl Search {
    fn from(&mut self, root: usize, outgoing: &Outgoing, edges: &[Edge]) {
        self.enter(root, None);
        while let Some(visit) = self.stack.last_mut() {
            let Some(edge) = outgoing.nth(visit.step, visit.next) else {
                self.state[visit.step] = State::Done;
                self.stack.pop();
                continue;
            };
            visit.next += 1;
            let after = edges[edge].after as usize;
            match self.state[after] {
                State::New => self.enter(after, Some(edge)),
                State::Open(height) => self.close(height, edge),
                State::Done => {}
            }
        }
    }

    fn enter(&mut self, step: usize, via: Option<usize>) {
        self.state[step] = State::Open(self.stack.len());
        self.stack.push(Visit { step, next: 0, via });
    }

    /// Notes the cycle from `height` to the top of the stack and leaves its steps.
    fn close(&mut self, height: usize, last: usize) {
        let steps = self.stack.split_off(height);
        for visit in &steps {
            self.state[visit.step] = State::Done;
        }
        let mut cycle: Vec<usize> = steps.iter().skip(1).filter_map(|visit| visit.via).collect();
        cycle.push(last);
        self.cycles.push(cycle);
    }
}

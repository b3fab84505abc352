//! Which step is next, and what an end means for the others. No machine, no clock, no
//! event: the [driver](crate::driver) asks and tells.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hm_backend_sdk::{BuildStatus, EdgeKind, StepId};

use crate::graph::StepGraph;

/// What to do with the machine in which a step has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Legacy {
    /// Nobody wants what the step left behind.
    LetGo,
    /// Only this step wants it, and could start at once: it goes on in the machine.
    HandOver(StepId),
    /// Freeze it: several steps want it, or one that starts later, or the cache.
    Freeze,
}

/// Why steps that have not ended cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// The step did not pass.
    NotPassed,
    /// The step passed, but what it left behind is lost.
    StateLost,
}

/// The steps that end because another one did not pass, smallest index first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Aftermath {
    /// They were running.
    pub cancelled: Vec<StepId>,
    /// They had not started.
    pub skipped: Vec<StepId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Ready,
    Running,
    Done,
}

/// The state of a build's steps.
#[derive(Debug)]
pub struct Scheduler {
    graph: StepGraph,
    cached: Vec<bool>,
    slots: usize,
    keep_going: bool,
    state: Vec<State>,
    /// Predecessors that have not let the step go yet.
    missing: Vec<u32>,
    /// Most urgent first, then by index. A step that has left [`State::Ready`] by another
    /// way leaves its entry behind.
    ready: BinaryHeap<(u32, Reverse<StepId>)>,
    running: usize,
    halted: bool,
    failed: bool,
}

impl Scheduler {
    /// Begins a build. `cached` tells the steps whose state the cache wants; `slots` is
    /// how many steps run at once, at least one.
    pub fn new(graph: StepGraph, cached: Vec<bool>, slots: usize, keep_going: bool) -> Self {
        let steps = graph.len() as StepId;
        let missing: Vec<_> = (0..steps)
            .map(|step| graph.predecessor_count(step))
            .collect();
        let mut scheduler = Self {
            state: vec![State::Waiting; graph.len()],
            graph,
            cached,
            slots: slots.max(1),
            keep_going,
            missing,
            ready: BinaryHeap::new(),
            running: 0,
            halted: false,
            failed: false,
        };
        for step in 0..steps {
            if scheduler.missing[step as usize] == 0 {
                scheduler.make_ready(step);
            }
        }
        scheduler
    }

    /// Returns the graph it was made with.
    pub fn graph(&self) -> &StepGraph {
        &self.graph
    }

    /// Returns true if the cache wants what `step` leaves behind.
    pub fn is_cached(&self, step: StepId) -> bool {
        self.cached[step as usize]
    }

    /// Takes the most urgent ready step, if there is a slot for it.
    pub fn take_next(&mut self) -> Option<StepId> {
        if !self.has_slot() {
            return None;
        }
        while let Some((_, Reverse(step))) = self.ready.pop() {
            if self.state[step as usize] == State::Ready {
                self.start(step);
                return Some(step);
            }
        }
        None
    }

    /// Takes this step, if it is ready and there is a slot for it.
    pub fn claim(&mut self, step: StepId) -> bool {
        let granted = self.has_slot() && self.state[step as usize] == State::Ready;
        if granted {
            self.start(step);
        }
        granted
    }

    /// Gives the slot of a step back that could not be started yet.
    pub fn put_back(&mut self, step: StepId) {
        self.running -= 1;
        self.make_ready(step);
    }

    /// Notes that a step has passed, and lets go the steps that only waited for it.
    /// Those that start from its state follow with [`Scheduler::state_kept`].
    pub fn passed(&mut self, step: StepId) {
        self.end(step);
        self.release(step, EdgeKind::DependsOn);
    }

    /// Lets go the steps that start from what `step` left behind.
    pub fn state_kept(&mut self, step: StepId) {
        self.release(step, EdgeKind::BuildsIn);
    }

    /// Decides what becomes of the machine in which `step` has just passed.
    pub fn legacy(&self, step: StepId) -> Legacy {
        if self.is_cached(step) {
            return Legacy::Freeze;
        }
        let waits = |&child: &StepId| self.state[child as usize] == State::Waiting;
        let mut heirs = self.graph.children(step).filter(waits);
        match (heirs.next(), heirs.next()) {
            (None, _) => Legacy::LetGo,
            // The cache is asked by the parent's snapshot, and a machine is not held for a
            // step that waits for others.
            (Some(heir), None) if !self.is_cached(heir) && self.missing[heir as usize] == 1 => {
                Legacy::HandOver(heir)
            }
            _ => Legacy::Freeze,
        }
    }

    /// Notes that a step did not pass, and ends those that cannot go on without it.
    pub fn not_passed(&mut self, step: StepId) -> Aftermath {
        self.end(step);
        self.struck(step, Blow::NotPassed)
    }

    /// Ends the steps that cannot go on because of `step`: without keep-going, all.
    pub fn struck(&mut self, step: StepId, blow: Blow) -> Aftermath {
        self.failed = true;
        if !self.keep_going {
            return self.halt();
        }
        let mut aftermath = Aftermath::default();
        let mut reached = vec![step];
        while let Some(from) = reached.pop() {
            for (next, kind) in self.graph.successors(from) {
                let spared = from == step && blow == Blow::StateLost && kind == EdgeKind::DependsOn;
                if self.state[next as usize] == State::Waiting && !spared {
                    self.state[next as usize] = State::Done;
                    aftermath.skipped.push(next);
                    reached.push(next);
                }
            }
        }
        aftermath.skipped.sort_unstable();
        aftermath
    }

    /// Ends all steps that have not ended, and starts none any more.
    pub fn halt(&mut self) -> Aftermath {
        self.halted = true;
        self.running = 0;
        let mut aftermath = Aftermath::default();
        for (step, state) in self.state.iter_mut().enumerate() {
            match std::mem::replace(state, State::Done) {
                State::Running => aftermath.cancelled.push(step as StepId),
                State::Waiting | State::Ready => aftermath.skipped.push(step as StepId),
                State::Done => {}
            }
        }
        aftermath
    }

    /// Returns true if steps still wait to start from what `step` left behind.
    pub fn is_wanted(&self, step: StepId) -> bool {
        self.graph
            .children(step)
            .any(|child| self.state[child as usize] == State::Waiting)
    }

    /// Returns true if no step starts any more.
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// Returns the verdict of a build that went to its end.
    pub fn verdict(&self) -> BuildStatus {
        if self.failed {
            BuildStatus::Failed
        } else {
            BuildStatus::Passed
        }
    }

    fn has_slot(&self) -> bool {
        !self.halted && self.running < self.slots
    }

    fn start(&mut self, step: StepId) {
        self.state[step as usize] = State::Running;
        self.running += 1;
    }

    fn end(&mut self, step: StepId) {
        self.state[step as usize] = State::Done;
        self.running = self.running.saturating_sub(1);
    }

    fn make_ready(&mut self, step: StepId) {
        self.state[step as usize] = State::Ready;
        self.ready.push((self.graph.urgency(step), Reverse(step)));
    }

    fn release(&mut self, step: StepId, kind: EdgeKind) {
        let mut free = Vec::new();
        for (next, _) in self
            .graph
            .successors(step)
            .filter(|(_, edge)| *edge == kind)
        {
            let missing = &mut self.missing[next as usize];
            *missing = missing.saturating_sub(1);
            if *missing == 0 && self.state[next as usize] == State::Waiting {
                free.push(next);
            }
        }
        for next in free {
            self.make_ready(next);
        }
    }
}

#[cfg(test)]
mod tests;

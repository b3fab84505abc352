//! Machines, snapshots and the cache, without any of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hm_backend_sdk::StepId;
use hm_backend_sdk::vm::VmError;

use crate::Command;

/// From which state a step may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// This image, and no command since.
    Image(String),
    /// What this step left behind when it passed.
    After(StepId),
    /// Anything else: no step's start.
    Other,
}

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) state: State,
    /// Commands that run.
    pub(crate) running: u32,
    /// Commands begun, so that one that overlapped another is told from one alone.
    pub(crate) begun: u64,
}

/// What there is, and what was scripted.
#[derive(Debug)]
pub(crate) struct Machines {
    pub(crate) live: BTreeMap<u64, Machine>,
    pub(crate) snapshots: BTreeMap<u64, State>,
    made: u64,
    /// Held at one time.
    pub(crate) limit: usize,
    pub(crate) commands: BTreeMap<StepId, VecDeque<Command>>,
    pub(crate) execs: BTreeMap<String, VecDeque<Command>>,
    pub(crate) boot_failures: BTreeMap<StepId, VecDeque<VmError>>,
    pub(crate) freeze_failure: Option<VmError>,
    pub(crate) cached: BTreeSet<StepId>,
    pub(crate) stored: Vec<StepId>,
    pub(crate) boots: usize,
    pub(crate) freezes: usize,
    pub(crate) running: usize,
    pub(crate) most_running: usize,
    pub(crate) most_held: usize,
}

impl Machines {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            live: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            made: 0,
            limit,
            commands: BTreeMap::new(),
            execs: BTreeMap::new(),
            boot_failures: BTreeMap::new(),
            freeze_failure: None,
            cached: BTreeSet::new(),
            stored: Vec::new(),
            boots: 0,
            freezes: 0,
            running: 0,
            most_running: 0,
            most_held: 0,
        }
    }

    pub(crate) fn boot(&mut self, step: StepId, state: State) -> Result<u64, VmError> {
        if let Some(error) = pop(self.boot_failures.get_mut(&step)) {
            return Err(error);
        }
        if self.live.len() >= self.limit {
            return Err(VmError::Limit(format!("machines {}", self.limit)));
        }
        self.boots += 1;
        self.made += 1;
        let machine = Machine {
            state,
            running: 0,
            begun: 0,
        };
        self.live.insert(self.made, machine);
        self.most_held = self.most_held.max(self.live.len());
        Ok(self.made)
    }

    pub(crate) fn snapshot(&mut self, state: State) -> u64 {
        self.made += 1;
        self.snapshots.insert(self.made, state);
        self.made
    }

    pub(crate) fn freeze(&mut self, machine: u64) -> Result<u64, VmError> {
        if let Some(error) = &self.freeze_failure {
            return Err(error.clone());
        }
        let Some(machine) = self.live.get_mut(&machine) else {
            return Err(gone(machine));
        };
        if machine.running > 0 {
            // What a killed command leaves is no known state, now and afterwards.
            machine.state = State::Other;
            machine.begun += 1;
        }
        self.freezes += 1;
        let state = machine.state.clone();
        Ok(self.snapshot(state))
    }

    /// Begins a command; `wanted` is the state that it must find.
    pub(crate) fn begin(&mut self, id: u64, wanted: Option<&State>) -> Result<u64, VmError> {
        let machine = self.live.get_mut(&id).ok_or_else(|| gone(id))?;
        let denied = |text: &str| Err(VmError::Denied(text.into()));
        if let Some(wanted) = wanted {
            if machine.running > 0 {
                return denied("another command runs on the machine");
            }
            if machine.state != *wanted {
                return denied("the machine is not in the state from which the step starts");
            }
        }
        machine.state = State::Other;
        machine.running += 1;
        machine.begun += 1;
        self.running += 1;
        self.most_running = self.most_running.max(self.running);
        Ok(machine.begun)
    }

    /// Ends it; false if another command came between.
    pub(crate) fn end(&mut self, id: u64, number: u64, left: Option<State>) -> bool {
        self.running -= 1;
        let Some(machine) = self.live.get_mut(&id) else {
            return true;
        };
        machine.running -= 1;
        let was_alone = machine.begun == number && machine.running == 0;
        if let Some(state) = left
            && was_alone
        {
            machine.state = state;
        }
        was_alone
    }

    /// Returns how the step's command goes this time: as scripted, the last one from then
    /// on.
    pub(crate) fn command(&mut self, step: StepId) -> Command {
        next(self.commands.get_mut(&step))
    }

    /// Returns how another command goes.
    pub(crate) fn exec(&mut self, text: &str) -> Command {
        next(self.execs.get_mut(text))
    }
}

fn gone(id: u64) -> VmError {
    VmError::Gone(format!("machine-{id}"))
}

fn pop<T>(queue: Option<&mut VecDeque<T>>) -> Option<T> {
    queue.and_then(VecDeque::pop_front)
}

fn next(queue: Option<&mut VecDeque<Command>>) -> Command {
    match queue {
        Some(queue) if queue.len() > 1 => queue.pop_front().unwrap_or_default(),
        Some(queue) => queue.front().cloned().unwrap_or_default(),
        None => Command::default(),
    }
}

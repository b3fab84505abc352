//! What the driver waits for: steps, and what is kept of them.

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;

use hm_backend_sdk::vm::{ExecStatus, VmError};
use hm_backend_sdk::{BuildEvent, Level, Notice, StepId, StepStarted};

use crate::wording::text;
use crate::world::World;

/// A machine that counts among those held by the build until it is dropped.
pub(crate) struct Held<M> {
    machine: M,
    count: Rc<Cell<usize>>,
}

impl<M> Held<M> {
    pub(crate) fn new(machine: M, count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self {
            machine,
            count: Rc::clone(count),
        }
    }
}

impl<M> Deref for Held<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.machine
    }
}

impl<M> Drop for Held<M> {
    fn drop(&mut self) {
        self.count.set(self.count.get().saturating_sub(1));
    }
}

/// What a step starts from.
pub(crate) enum Origin<'a, W: World> {
    Image(&'a str),
    Snapshot(Rc<W::Snapshot>),
    /// The machine in which its parent has just passed.
    Machine(Held<W::Machine>),
}

/// How a task ended.
pub(crate) enum Report<W: World> {
    /// The cache has what the step would leave behind.
    Hit { step: StepId, state: W::Snapshot },
    /// The step's command ran to its end.
    Ran {
        step: StepId,
        status: ExecStatus,
        machine: Held<W::Machine>,
    },
    /// There was no machine left for the step.
    Full { step: StepId, why: String },
    /// The step has no status. `ran` tells whether its command had begun.
    Broke {
        step: StepId,
        ran: bool,
        error: VmError,
    },
    /// What the step left behind is frozen, or is not.
    Frozen {
        step: StepId,
        state: Result<W::Snapshot, VmError>,
    },
    /// The cache took what the step left behind, or did not.
    Stored {
        step: StepId,
        result: Result<(), VmError>,
    },
}

/// A step on its way.
pub(crate) struct Start<'a, W: World> {
    pub(crate) step: StepId,
    pub(crate) origin: Origin<'a, W>,
    /// Ask the cache first, and tell of the start only when it has nothing.
    pub(crate) lookup: Option<StepStarted>,
    pub(crate) held: Rc<Cell<usize>>,
}

/// Takes a step from its origin to its end.
pub(crate) async fn run_step<W: World>(world: &W, start: Start<'_, W>) -> Report<W> {
    let Start {
        step,
        origin,
        lookup,
        held,
    } = start;
    if let Some(started) = lookup {
        let parent = match &origin {
            Origin::Snapshot(snapshot) => Some(&**snapshot),
            Origin::Image(_) | Origin::Machine(_) => None,
        };
        match world.lookup(step, parent).await {
            Ok(Some(state)) => return Report::Hit { step, state },
            Ok(None) => {}
            Err(error @ VmError::Cancelled) => {
                return Report::Broke {
                    step,
                    ran: false,
                    error,
                };
            }
            Err(error) => {
                let message = format!("running it, as the cache gave no answer: {}", text(&error));
                world.queue(BuildEvent::Notice(
                    Notice::new(Level::Warning, message).about(step),
                ));
            }
        }
        world.queue(BuildEvent::StepStarted(started));
        world.flush().await;
    }
    let booted = match origin {
        Origin::Machine(machine) => Ok(machine),
        Origin::Image(image) => world
            .boot_image(step, image)
            .await
            .map(|machine| Held::new(machine, &held)),
        Origin::Snapshot(snapshot) => world
            .boot_snapshot(step, &snapshot)
            .await
            .map(|machine| Held::new(machine, &held)),
    };
    let machine = match booted {
        Ok(machine) => machine,
        Err(VmError::Limit(why)) => return Report::Full { step, why },
        Err(error) => {
            return Report::Broke {
                step,
                ran: false,
                error,
            };
        }
    };
    match world.run(&machine, step).await {
        Ok(status) => Report::Ran {
            step,
            status,
            machine,
        },
        Err(error) => Report::Broke {
            step,
            ran: true,
            error,
        },
    }
}

/// Freezes what a step left behind, and lets go of its machine.
pub(crate) async fn freeze<W: World>(
    world: &W,
    step: StepId,
    machine: Held<W::Machine>,
) -> Report<W> {
    let state = world.freeze(&machine).await;
    Report::Frozen { step, state }
}

/// Gives the cache what a step left behind.
pub(crate) async fn store<W: World>(world: &W, step: StepId, state: Rc<W::Snapshot>) -> Report<W> {
    let result = world.store(step, &state).await;
    Report::Stored { step, result }
}

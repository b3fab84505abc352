//! How a step that is on its way learns that it is not wanted any more.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use futures::future::{Either, select};

use crate::BackendError;

/// Tells a step that is on its way when it is to stop: the build is, or another step has
/// failed. Whoever [asks](crate::Turn::stop) for one gets some seconds to tidy up, say to
/// end a job at a service; a step that has none is dropped at once.
#[derive(Debug, Clone)]
pub struct Stop(pub(super) Rc<Shared>);

#[derive(Debug, Default)]
pub(super) struct Shared {
    is_set: Cell<bool>,
    wakers: RefCell<Vec<Waker>>,
}

impl Shared {
    pub(super) fn set(&self) {
        self.is_set.set(true);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }
}

impl Stop {
    /// Returns when the step is to stop; never, if it is not.
    pub async fn requested(&self) {
        poll_fn(|context| {
            if self.0.is_set.get() {
                return Poll::Ready(());
            }
            self.0.wakers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Does `work` unless the step is to stop; then `work` is dropped.
    ///
    /// # Errors
    /// The step is to stop.
    pub async fn guard<F: Future>(&self, work: F) -> Result<F::Output, Stopped> {
        match select(pin!(self.requested()), pin!(work)).await {
            Either::Left(((), _)) => Err(Stopped),
            Either::Right((output, _)) => Ok(output),
        }
    }
}

/// The step is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the step is not wanted any more")
    }
}

impl std::error::Error for Stopped {}

impl From<Stopped> for BackendError {
    fn from(_: Stopped) -> Self {
        Self::Cancelled
    }
}

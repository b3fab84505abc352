//! Places for log streams: the host holds so many requests at a time, and polling needs some.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use futures::channel::oneshot;

/// Streams at one time: the host's limit for this backend is 64 requests, of which a few are
/// left free for the list of jobs, a log token and a cancel.
pub(crate) const STREAMS: usize = 56;

/// Places, given out in the order in which they are asked for.
#[derive(Debug, Clone)]
pub(crate) struct Slots(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    free: Cell<usize>,
    waiting: RefCell<VecDeque<oneshot::Sender<Slot>>>,
}

/// A place; handed on when dropped, so that who gives it up goes behind all who wait.
#[derive(Debug)]
pub(crate) struct Slot(Slots);

impl Slots {
    pub(crate) fn new(places: usize) -> Self {
        Self(Rc::new(Shared {
            free: Cell::new(places),
            waiting: RefCell::default(),
        }))
    }

    /// Returns a place as soon as it is this one's turn.
    pub(crate) async fn take(&self) -> Slot {
        loop {
            if let Some(left) = self.0.free.get().checked_sub(1) {
                self.0.free.set(left);
                return Slot(self.clone());
            }
            let (sender, turn) = oneshot::channel();
            self.0.waiting.borrow_mut().push_back(sender);
            if let Ok(slot) = turn.await {
                return slot;
            }
        }
    }

    /// Returns true if somebody waits for a place.
    pub(crate) fn are_wanted(&self) -> bool {
        let waiting = self.0.waiting.borrow();
        waiting.iter().any(|turn| !turn.is_canceled())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let shared = &self.0.0;
        loop {
            let next = shared.waiting.borrow_mut().pop_front();
            match next {
                None => return shared.free.set(shared.free.get() + 1),
                Some(turn) if turn.is_canceled() => {}
                // One that is not taken out any more is dropped, and so handed on.
                Some(turn) => return drop(turn.send(Self(self.0.clone()))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn places_go_to_who_waits_and_to_nobody_who_left() {
        let slots = Slots::new(1);
        let first = slots.take().now_or_never().unwrap();
        let mut left = Box::pin(slots.take());
        let mut second = Box::pin(slots.take());
        let mut third = Box::pin(slots.take());
        for waiting in [&mut left, &mut second, &mut third] {
            assert!(waiting.now_or_never().is_none());
        }
        assert!(slots.are_wanted());
        drop(left);
        drop(first);
        // Not for who comes just now.
        assert!(slots.take().now_or_never().is_none());
        drop(second);
        let third = third.now_or_never().unwrap();
        assert!(!slots.are_wanted());
        drop(third);
        assert!(slots.take().now_or_never().is_some());
    }
}

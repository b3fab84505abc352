//! Virtual time, and what runs in it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Polls of a build before it is held to run in circles.
const POLLS: u64 = 20_000_000;

/// A clock that stands still while anything runs, and then moves to what is waited for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Rc<Time>);

#[derive(Debug, Default)]
struct Time {
    now: Cell<u64>,
    made: Cell<u64>,
    /// By the moment, and then by the order in which they were made.
    timers: RefCell<BTreeMap<(u64, u64), Waker>>,
}

impl Clock {
    /// Returns nanoseconds since the build began.
    pub(crate) fn now(&self) -> u64 {
        self.0.now.get()
    }

    /// Returns that many nanoseconds later.
    pub(crate) fn wait(&self, nanoseconds: u64) -> Timer {
        let made = self.0.made.get();
        self.0.made.set(made + 1);
        let key = (self.now().saturating_add(nanoseconds), made);
        Timer {
            clock: self.clone(),
            key,
        }
    }

    /// Moves on to the first timer; false if there is none, ever.
    fn advance(&self) -> bool {
        let first = self.0.timers.borrow_mut().pop_first();
        match first {
            Some(((u64::MAX, _), _)) | None => false,
            Some(((at, _), waker)) => {
                self.0.now.set(self.now().max(at));
                waker.wake();
                true
            }
        }
    }
}

/// A moment that is waited for.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    key: (u64, u64),
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.key.0 <= self.clock.now() {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        let mut timers = self.clock.0.timers.borrow_mut();
        timers.insert(self.key, waker);
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.clock.0.timers.borrow_mut().remove(&self.key);
    }
}

/// Why something did not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// It waits for what never comes.
    Waiting,
    /// It runs in circles.
    Circling,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` to its end; time moves when nothing else does.
pub(crate) fn run<F: Future>(clock: &Clock, work: F) -> Result<F::Output, Stuck> {
    let mut work = std::pin::pin!(work);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    for _ in 0..POLLS {
        if woken.0.swap(false, Ordering::Relaxed) {
            if let Poll::Ready(output) = work.as_mut().poll(&mut context) {
                return Ok(output);
            }
        } else if !clock.advance() {
            return Err(Stuck::Waiting);
        }
    }
    Err(Stuck::Circling)
}

/// Lets everything else that is ready go first, as a call of the host does.
pub(crate) async fn give_way() {
    let mut gave = false;
    poll_fn(|context| {
        if std::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

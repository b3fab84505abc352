//! The host's ends of the guest's stream of events and its outcome.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::Sleep;
use tokio_util::sync::{PollSendError, PollSender};
use wasmtime::StoreContextMut;
use wasmtime::component::{FutureConsumer, Lift, Source, StreamConsumer, StreamResult};

use super::bucket::Bucket;
use super::{Awaited, Session};
use crate::component::bindings::hm::backend::events::BuildEvent;
use crate::component::bindings::hm::backend::types::StepStatus;
use crate::sequencer::{Entry, Violation};

/// Events lifted at once: 64 of the largest chunks fit into the fuel of one call
/// (decisions, "Runtime limits").
const BATCH: usize = 64;

/// Takes the guest's events as fast as the reader reads: a write returns when the host has
/// taken its events, and room in the queue is reserved before any is read.
pub(super) struct Events {
    session: Arc<Session>,
    queue: PollSender<Vec<Entry>>,
    /// Of notices and custom events, which no order table bounds.
    bucket: Bucket,
    /// What was taken too fast is waited for before the next is read.
    wait: Option<Pin<Box<Sleep>>>,
    /// Its events wait for their reader.
    slowed: Option<Awaited>,
    /// Tells that the stream has ended; with it the violation, if that broke it.
    ended: Option<oneshot::Sender<Result<(), Violation>>>,
}

impl Events {
    pub(super) fn new(
        session: Arc<Session>,
        ended: oneshot::Sender<Result<(), Violation>>,
    ) -> Self {
        let queue = PollSender::new(session.queue.clone());
        let limits = session.limits();
        let bucket = Bucket::new(limits.free_events_rate, limits.free_events_burst);
        Self {
            session,
            queue,
            bucket,
            wait: None,
            slowed: None,
            ended: Some(ended),
        }
    }
}

impl Events {
    /// Waits for what was taken too fast, and for room in the queue.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PollSendError<Vec<Entry>>>> {
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        self.queue.poll_reserve(cx)
    }
}

impl<D: 'static> StreamConsumer<D> for Events {
    type Item = BuildEvent;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, D>,
        mut source: Source<'_, BuildEvent>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        match self.poll_room(cx) {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => {
                let session = self.session.clone();
                self.slowed.get_or_insert_with(|| session.awaits());
                return Poll::Pending;
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Ready(Ok(())) => self.slowed = None,
        }
        let mut events = Vec::with_capacity(source.remaining(&mut store).clamp(1, BATCH));
        source.read(&mut store, &mut events)?;
        self.session.activity.moves();
        let mut entries = Vec::with_capacity(events.len());
        let mut broken = Ok(());
        let counted = {
            let mut ledger = self.session.ledger();
            let before = ledger.free_events();
            for event in events {
                self.session.note_end(&event);
                broken = ledger.take(event, &mut entries);
                if broken.is_err() {
                    break;
                }
            }
            ledger.free_events() - before
        };
        if counted > 0 {
            let wait = self.bucket.owe(counted, Instant::now());
            self.wait = wait.map(|wait| Box::pin(tokio::time::sleep(wait)));
        }
        // What came before a violation did happen.
        let _ = self.queue.send_item(entries);
        if let Err(fault) = broken {
            return Poll::Ready(Err(fault.into()));
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Session {
    /// Lets others build what a step was building that ends without having passed; what
    /// one that passed has built is still to be stored.
    fn note_end(&self, event: &BuildEvent) {
        if let (BuildEvent::StepEnded(end), Some(vm)) = (event, self.vm())
            && end.status != StepStatus::Passed
        {
            vm.claims.give_up(end.step);
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            let is_cancelled = self.session.wish().is_some();
            let _ = ended.send(self.session.ledger().end_of_events(is_cancelled));
        }
    }
}

/// Takes the one value of a future.
pub(super) struct Once<T>(pub(super) Option<oneshot::Sender<T>>);

impl<D, T: Lift + Send + 'static> FutureConsumer<D> for Once<T> {
    type Item = T;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        mut source: Source<'_, T>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut value = None;
        source.read(store, &mut value)?;
        if let (Some(value), Some(sender)) = (value, self.0.take()) {
            let _ = sender.send(value);
        }
        Poll::Ready(Ok(()))
    }
}

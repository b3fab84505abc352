//! Log tokens: one opens all streams of a build, for an hour by the service's clock.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::lock::Mutex;
use hm_backend_sdk::clock::Instant;
use hm_cloud_api::LogToken;

use crate::service::{Gone, Known, PATIENCE, Service};

/// How long a token is used. It is good for an hour, but its end is told by the service's
/// clock, which need not be ours: a new one costs one request for all streams.
const USED: Duration = Duration::from_secs(5 * 60);

/// The present token of a build.
#[derive(Debug)]
pub(crate) struct Tokens<'a> {
    service: &'a Service,
    known: &'a Known,
    current: RefCell<Option<(Rc<str>, Instant)>>,
    /// Streams that want a new one at the same time share it.
    minting: Mutex<()>,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(service: &'a Service, known: &'a Known) -> Self {
        Self {
            service,
            known,
            current: RefCell::default(),
            minting: Mutex::new(()),
        }
    }

    /// Returns a token.
    ///
    /// # Errors
    /// The service gives none.
    pub(crate) async fn get(&self) -> Result<Rc<str>, Gone> {
        let _minting = self.minting.lock().await;
        if let Some((token, minted)) = &*self.current.borrow()
            && minted.elapsed() < USED
        {
            return Ok(token.clone());
        }
        let path = self.service.of_build(self.known, &["log-token"]);
        let now = Instant::now();
        let minted: LogToken = self.service.get(&path, PATIENCE).await?;
        let token: Rc<str> = minted.token.into();
        *self.current.borrow_mut() = Some((token.clone(), now));
        Ok(token)
    }

    /// Gives up a token that a stream refused, unless there is another one already.
    pub(crate) fn refused(&self, refused: &str) {
        let mut current = self.current.borrow_mut();
        if current
            .as_ref()
            .is_some_and(|(token, _)| **token == *refused)
        {
            *current = None;
        }
    }
}

//! What was asked of the service, and what was wrong with it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::Operation;

/// Bodies larger than this are not kept.
const KEPT_BODY: usize = 1 << 20;

/// A request, and how it was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// None for what the service does not route.
    pub operation: Option<Operation>,
    /// Of HTTP.
    pub method: String,
    /// With the query.
    pub path: String,
    /// As JSON, if it is some and not too long.
    pub body: Option<Value>,
    /// The header of that name.
    pub last_event_id: Option<String>,
    /// Whether it carried any authorization.
    pub has_bearer: bool,
    /// None where the connection ended instead.
    pub status: Option<u16>,
    /// Whether a fault of the script fell on it.
    pub is_faulty: bool,
}

/// Everything that was asked, in order, and every departure from the description.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    exchanges: Vec<Exchange>,
    violations: Vec<String>,
}

impl Journal {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns all exchanges whose request has arrived.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.kept().exchanges.clone()
    }

    /// Returns how often `operation` was asked for.
    pub fn count(&self, operation: Operation) -> usize {
        let kept = self.kept();
        let exchanges = kept.exchanges.iter();
        exchanges
            .filter(|exchange| exchange.operation == Some(operation))
            .count()
    }

    /// Returns how many requests there were.
    pub fn len(&self) -> usize {
        self.kept().exchanges.len()
    }

    /// Returns true if nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what did not follow the description, in requests and in our own answers.
    pub fn violations(&self) -> Vec<String> {
        self.kept().violations.clone()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.kept() = Kept::default();
    }

    pub(crate) fn violation(&self, text: String) {
        self.kept().violations.push(text);
    }

    /// Returns the number under which the answer is told.
    pub(crate) fn request(&self, exchange: Exchange, body: &[u8]) -> usize {
        let mut kept = self.kept();
        let body = (body.len() <= KEPT_BODY)
            .then(|| serde_json::from_slice(body).ok())
            .flatten();
        kept.exchanges.push(Exchange { body, ..exchange });
        kept.exchanges.len() - 1
    }

    pub(crate) fn answered(&self, number: usize, status: u16) {
        if let Some(exchange) = self.kept().exchanges.get_mut(number) {
            exchange.status = Some(status);
        }
    }
}

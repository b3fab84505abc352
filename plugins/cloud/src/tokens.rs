//! Log tokens: one opens all streams of a build, for an hour by the service's clock.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::lock::Mutex;
use hm_backend_sdk::clock::Instant;
use hm_cloud_api::{LogToken, milliseconds};

use crate::service::{Gone, Known, PATIENCE, Service};

/// How long before its end a token opens no stream any more: what is on its way must
/// arrive in time.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// How long a token is used whose end cannot be told.
const UNKNOWN: Duration = Duration::from_secs(5 * 60);

/// The present token of a build.
#[derive(Debug)]
pub(crate) struct Tokens<'a> {
    service: &'a Service,
    known: &'a Known,
    current: RefCell<Option<Current>>,
    /// Streams that want a new one at the same time share it.
    minting: Mutex<()>,
}

#[derive(Debug)]
struct Current {
    token: Rc<str>,
    /// Asked for then.
    since: Instant,
    good_for: Duration,
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
        if let Some(current) = &*self.current.borrow()
            && current.since.elapsed() < current.good_for
        {
            return Ok(current.token.clone());
        }
        let path = self.service.of_build(self.known, &["log-token"]);
        let since = Instant::now();
        let (minted, date): (LogToken, _) = self.service.get_dated(&path, PATIENCE).await?;
        let good_for = good_for(&minted, date);
        let token: Rc<str> = minted.token.into();
        *self.current.borrow_mut() = Some(Current {
            token: token.clone(),
            since,
            good_for,
        });
        Ok(token)
    }

    /// Gives up a token that a stream refused, unless there is another one already.
    pub(crate) fn refused(&self, refused: &str) {
        let mut current = self.current.borrow_mut();
        if current
            .as_ref()
            .is_some_and(|current| *current.token == *refused)
        {
            *current = None;
        }
    }
}

/// Returns how long a token is used. Its end is told by the service's clock, which need not
/// be ours; `date` is the service's own time, in milliseconds, when it minted the token.
fn good_for(minted: &LogToken, date: Option<i64>) -> Duration {
    let life = milliseconds(&minted.expires_at)
        .zip(date)
        .map(|(end, now)| Duration::from_millis(u64::try_from(end - now).unwrap_or(0)));
    // One that lives no longer than the margin is used for half of its time.
    life.map_or(UNKNOWN, |life| life - MARGIN.min(life / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_until_shortly_before_its_end_by_the_clock_that_told_it() {
        let minted = |end: &str| LogToken {
            token: "t".into(),
            expires_at: end.into(),
        };
        // The service's clock is decades off.
        let now = milliseconds("1999-01-01T00:00:00Z");
        for (end, seconds) in [
            ("1999-01-01T01:00:00Z", 3300),
            ("1999-01-01T00:06:00Z", 180),
            ("1999-01-01T00:00:02Z", 1),
            ("1998-12-31T23:00:00Z", 0),
        ] {
            assert_eq!(good_for(&minted(end), now).as_secs(), seconds, "{end}");
        }
        let unknown = minted("1999-01-01T01:00:00Z");
        assert_eq!(good_for(&unknown, None), UNKNOWN);
        assert_eq!(good_for(&minted("soon"), now), UNKNOWN);
    }
}

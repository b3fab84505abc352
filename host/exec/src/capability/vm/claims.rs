//! Keys that this build is building, so that no other process does the same work.
//!
//! A step's lookup that finds nothing claims the key; the claim ends when the result is
//! stored, when the step ends in another way, at the latest with the build or its process.
//!
//! Two builds that each hold a key and wait for the other's cannot wait for ever. A claim
//! whose command runs comes to an end by itself. One whose command does not run (before
//! its machine boots, after it until the result is stored) is *idle*, and a build in which
//! a claim has been idle for longer than [`IDLE_MAX`] stops waiting for others and does
//! their work itself. Every circle of builds has such a claim, or one that ends.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hm_plugin_protocol::StepId;
use hm_vm::BuildGuard;

/// Booting, freezing and storing take milliseconds, and seconds on a machine that is very
/// busy; all of it twice is cheaper than a build that never ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// How often idle claims are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// The claims of one build.
#[derive(Debug)]
pub(crate) struct Claims<G: Send + 'static = BuildGuard> {
    held: Mutex<HashMap<StepId, Claim<G>>>,
}

#[derive(Debug)]
struct Claim<G> {
    guard: G,
    /// Since when its command has not been running.
    idle_since: Option<Instant>,
}

impl<G: Send + 'static> Default for Claims<G> {
    fn default() -> Self {
        Self {
            held: Mutex::new(HashMap::new()),
        }
    }
}

impl<G: Send + 'static> Claims<G> {
    fn held(&self) -> MutexGuard<'_, HashMap<StepId, Claim<G>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over the right to build a step's key.
    pub(super) fn add(&self, step: StepId, guard: G) {
        let claim = Claim {
            guard,
            idle_since: Some(Instant::now()),
        };
        let replaced = self.held().insert(step, claim);
        release(replaced.into_iter().collect());
    }

    /// Returns whether the build holds the step's key.
    pub(super) fn holds(&self, step: StepId) -> bool {
        self.held().contains_key(&step)
    }

    /// Notes that the step's command runs, until what is returned is dropped.
    pub(super) fn running(&self, step: StepId) -> Running<'_, G> {
        self.set_idle(step, None);
        Running { claims: self, step }
    }

    fn set_idle(&self, step: StepId, since: Option<Instant>) {
        if let Some(claim) = self.held().get_mut(&step) {
            claim.idle_since = since;
        }
    }

    /// Lets others build the step's key, or find it if it was stored. Returns at once.
    pub(crate) fn give_up(&self, step: StepId) {
        let claim = self.held().remove(&step);
        release(claim.into_iter().collect());
    }

    /// Gives everything up and waits until others can see it: the end of the build.
    pub(super) async fn give_up_all(&self) {
        let all: Vec<_> = self.held().drain().map(|(_, claim)| claim).collect();
        if let Some(task) = release(all) {
            let _ = task.await;
        }
    }

    /// Returns when this build should not wait for another any longer.
    pub(super) async fn stalled(&self) {
        while !self.is_stalled(Instant::now()) {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn is_stalled(&self, now: Instant) -> bool {
        self.held().values().any(|claim| {
            claim
                .idle_since
                .is_some_and(|since| now.saturating_duration_since(since) > IDLE_MAX)
        })
    }
}

/// Dropping a guard writes to the registry, which may block.
fn release<G: Send + 'static>(claims: Vec<Claim<G>>) -> Option<tokio::task::JoinHandle<()>> {
    if claims.is_empty() {
        return None;
    }
    Some(tokio::task::spawn_blocking(move || {
        for claim in claims {
            drop(claim.guard);
        }
    }))
}

/// A claimed step's command that runs.
#[derive(Debug)]
pub(super) struct Running<'a, G: Send + 'static = BuildGuard> {
    claims: &'a Claims<G>,
    step: StepId,
}

impl<G: Send + 'static> Drop for Running<'_, G> {
    fn drop(&mut self) {
        self.claims.set_idle(self.step, Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(by: Duration) -> Instant {
        Instant::now() + by
    }

    /// Else two builds that wait for each other would do so for ever.
    #[tokio::test]
    async fn who_holds_an_idle_claim_waits_for_no_one() {
        let claims = Claims::<()>::default();
        assert!(!claims.is_stalled(later(IDLE_MAX * 2)), "nothing is held");
        claims.add(1, ());
        assert!(!claims.is_stalled(later(IDLE_MAX / 2)), "it may be booting");
        assert!(claims.is_stalled(later(IDLE_MAX * 2)));
        let running = claims.running(1);
        assert!(
            !claims.is_stalled(later(IDLE_MAX * 100)),
            "a command that runs ends"
        );
        drop(running);
        assert!(claims.is_stalled(later(IDLE_MAX * 2)), "nobody stored it");
        claims.give_up(1);
        assert!(!claims.holds(1) && !claims.is_stalled(later(IDLE_MAX * 2)));
    }

    #[tokio::test]
    async fn the_end_gives_everything_up() {
        let (sender, dropped) = std::sync::mpsc::channel();
        struct Guard(std::sync::mpsc::Sender<()>);
        impl Drop for Guard {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let claims = Claims::default();
        claims.add(1, Guard(sender.clone()));
        claims.add(2, Guard(sender));
        claims.give_up_all().await;
        assert_eq!(dropped.try_iter().count(), 2, "when it returns");
    }
}

//! `wasi:clocks/monotonic-clock`: exact time, for everybody. Waits are counted, so that a
//! component that sleeps is told from one that nothing will ever wake.

use std::time::{Duration, Instant};

use wasmtime::component::{Accessor, HasSelf};
use wasmtime_wasi::p3::bindings::clocks::monotonic_clock as wit;

use super::State;

/// Nanoseconds since the store was made.
fn now(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

impl wit::Host for State {
    fn now(&mut self) -> wasmtime::Result<wit::Mark> {
        Ok(now(self.since))
    }

    fn get_resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }
}

impl wit::HostWithStore<State> for HasSelf<State> {
    async fn wait_until(accessor: &Accessor<State, Self>, when: wit::Mark) -> wasmtime::Result<()> {
        let since = accessor.with(|mut access| access.get().since);
        sleep(accessor, when.saturating_sub(now(since))).await;
        Ok(())
    }

    async fn wait_for(accessor: &Accessor<State, Self>, nanoseconds: u64) -> wasmtime::Result<()> {
        sleep(accessor, nanoseconds).await;
        Ok(())
    }
}

async fn sleep(accessor: &Accessor<State, HasSelf<State>>, nanoseconds: u64) {
    if nanoseconds > 0 {
        let _nap = accessor.with(|mut access| access.get().session.naps());
        tokio::time::sleep(Duration::from_nanos(nanoseconds)).await;
    }
}

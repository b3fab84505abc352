//! `hm:backend/control`: what the host wants of a running build.

use wasmtime::component::{Accessor, HasSelf};

use super::State;
use crate::api::CancelReason;
use crate::component::bindings::hm::backend::control as wit;

impl wit::Host for State {}

impl wit::HostWithStore<State> for HasSelf<State> {
    async fn cancelled(accessor: &Accessor<State, Self>) -> wasmtime::Result<wit::CancelReason> {
        let (session, _call) = accessor.with(|mut access| access.get().session.enter_aside())?;
        Ok(match session.cancelled().await {
            CancelReason::Interrupted => wit::CancelReason::Interrupted,
            CancelReason::TimedOut => wit::CancelReason::TimedOut,
        })
    }
}

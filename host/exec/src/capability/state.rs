//! What the store of a build holds.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::http::Http;
use super::printed::Printed;
use crate::component::bindings::hm::backend::diagnostics::Severity;
use crate::component::bindings::hm::backend::{events, types};
use crate::component::{Limiter, Limits};
use crate::session::Session;

/// Per store: tables and limits of the guest, and the session that serves it.
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    pub(crate) table: ResourceTable,
    /// Inert: no environment, arguments, folders or sockets.
    wasi: WasiCtx,
    http: Http,
    pub(crate) session: Arc<Session>,
    /// While `describe` runs every capability answers denied.
    pub(crate) is_describing: bool,
}

impl State {
    pub(crate) fn new(limits: &Limits, session: Arc<Session>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources);
        Self {
            limiter: Limiter::new(limits.clone()),
            table,
            wasi: inert(&session),
            http: Http::new(session.clone(), limits),
            session,
            is_describing: false,
        }
    }
}

/// Bytes of chance at once: more would hold up a thread of the host.
const RANDOM_BYTES: u64 = 64 << 10;

/// Returns WASI without anything behind it; what is printed is for who debugs the backend.
fn inert(session: &Arc<Session>) -> WasiCtx {
    let printed = |severity| Printed {
        session: session.clone(),
        severity,
    };
    WasiCtx::builder()
        .stdout(printed(Severity::Info))
        .stderr(printed(Severity::Warn))
        .max_random_size(RANDOM_BYTES)
        .build()
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.http.hooks.is_describing = self.is_describing;
        WasiHttpCtxView {
            ctx: &mut self.http.ctx,
            table: &mut self.http.table,
            hooks: &mut self.http.hooks,
        }
    }
}

// Interfaces of types only.
impl types::Host for State {}
impl events::Host for State {}

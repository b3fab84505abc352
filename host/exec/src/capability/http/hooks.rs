//! The engine's side of `wasi:http`: tables of headers and bodies are its own, every
//! request is ours.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{
    Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks,
};

use super::limits::{CHUNK_BYTES, FIELDS_BYTES};
use super::{headers, send};
use crate::component::Limits;
use crate::session::Session;

/// What the store of a build holds for `wasi:http`.
pub(crate) struct Http {
    pub(crate) ctx: WasiHttpCtx,
    pub(crate) hooks: Hooks,
    /// Of its own, and small: each entry may hold as much as the headers of a request.
    pub(crate) table: ResourceTable,
}

/// Sends the guest's requests.
pub(crate) struct Hooks {
    session: Arc<Session>,
    filter: ForbiddenHeaderFilter,
    /// While `describe` runs everything is refused.
    pub(crate) is_describing: bool,
}

impl Http {
    pub(crate) fn new(session: Arc<Session>, limits: &Limits) -> Self {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(FIELDS_BYTES);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.http_handles);
        Self {
            ctx,
            table,
            hooks: Hooks {
                session,
                filter: Arc::new(headers::is_forbidden),
                is_describing: false,
            },
        }
    }
}

type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Done), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        // This one, and not `is_forbidden_header`: trailers are held against it too.
        self.filter.clone()
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Done,
    ) -> Answer {
        let session = self.session.clone();
        let http = session.http().cloned().filter(|_| !self.is_describing);
        let entered = session.enter();
        Box::new(async move {
            let Some(http) = http else {
                return Err(Error::HttpRequestDenied);
            };
            let (session, call) = match entered {
                Ok(entered) => entered,
                Err(limit) => {
                    session.exceed(limit);
                    return Err(Error::ConnectionLimitReached);
                }
            };
            let response = send::send(session, http, request, options).await?;
            drop(call);
            let done: Done = Box::new(std::future::ready(Ok(())));
            Ok((response, done))
        })
    }
}

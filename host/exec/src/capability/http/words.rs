//! The words of a request that the engine's tables take at any length. Each entry of a table is
//! held by the host, so a bound on entries is one on memory only if each of them has one.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::http::types::{HostRequest, Method};

use super::limits::{AUTHORITY_BYTES, METHOD_BYTES};
use crate::capability::State;

/// What `set-method` and `set-authority` return to the guest.
type Set = wasmtime::Result<(Result<(), ()>,)>;

/// Puts bounds in front of what is linked already.
pub(crate) fn bound(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance("wasi:http/types@0.3.0")?;
    types.func_wrap(
        "[method]request.set-method",
        |mut store: StoreContextMut<'_, State>,
         (request, method): (Resource<Request>, Method)|
         -> Set {
            if matches!(&method, Method::Other(name) if name.len() > METHOD_BYTES) {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_method(request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]request.set-authority",
        |mut store: StoreContextMut<'_, State>,
         (request, authority): (Resource<Request>, Option<String>)|
         -> Set {
            if authority
                .as_ref()
                .is_some_and(|name| name.len() > AUTHORITY_BYTES)
            {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_authority(request, authority)?,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

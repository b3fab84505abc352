//! From a loaded component and its grants to something that can be instantiated.

use std::collections::BTreeSet;

use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime_wasi_http::p3::bindings::http;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView};

use super::bindings::{BackendPre, hm};
use super::{Interface, LimitHit, Limits, LoadError, LoadedComponent, Runtime};
use crate::capability::State;
use crate::capability::http::words;

/// A component that was linked with exactly what was granted.
pub(crate) type Ready = BackendPre<State>;

/// Links the ambient interfaces and the granted ones, and no others.
pub(super) fn link(
    runtime: &Runtime,
    loaded: &LoadedComponent,
    granted: &[Interface],
    limits: &Limits,
) -> Result<Ready, LoadError> {
    let inspection = loaded.inspection();
    let missing: Vec<_> = inspection
        .asks
        .iter()
        .copied()
        .filter(|i| !granted.contains(i))
        .collect();
    if !missing.is_empty() {
        return Err(LoadError::NotGranted {
            name: loaded.name().into(),
            digest: inspection.digest.clone(),
            missing,
        });
    }
    check_needs(loaded, limits)?;
    let linker = linker(runtime.engine(), &inspection.asks, inspection.is_inert())
        .map_err(|e| LoadError::Engine(format!("{e:#}")))?;
    let mismatch = |error: wasmtime::Error| LoadError::Mismatch {
        name: loaded.name().into(),
        reason: crate::sequencer::clean::message(&format!("{error:#}")),
    };
    let pre = linker
        .instantiate_pre(&loaded.component)
        .map_err(mismatch)?;
    BackendPre::new(pre).map_err(mismatch)
}

/// Refuses what wants more than its limits before there is a store.
fn check_needs(loaded: &LoadedComponent, limits: &Limits) -> Result<(), LoadError> {
    let name = || loaded.name().to_owned();
    let Some(needs) = loaded.component.resources_required() else {
        return Err(LoadError::Invalid {
            name: name(),
            reason: "it imports core modules, which hm does not offer".into(),
        });
    };
    let bytes = needs
        .max_initial_memory_size
        .map_or(0, |pages| u128::from(pages) << 16);
    let elements = needs.max_initial_table_size.unwrap_or(0);
    let over = [
        (needs.num_memories as usize > limits.memories, "memories"),
        (needs.num_tables as usize > limits.tables, "tables"),
        (bytes > limits.memory_bytes as u128, "memory"),
        (
            u128::from(elements) > limits.table_elements as u128,
            "table-elements",
        ),
    ];
    match over.into_iter().find(|(is_over, _)| *is_over) {
        None => Ok(()),
        Some((_, key)) => Err(LoadError::Limit {
            name: name(),
            limit: LimitHit::of(key, limits),
        }),
    }
}

/// Returns how a component's imports differ from what this host has under their names; none
/// if they do not. Everything is linked, whatever was granted, and nothing is instantiated.
///
/// # Errors
/// The engine cannot be set up.
pub(super) fn misfit(engine: &Engine, component: &Component) -> Result<Option<String>, String> {
    let linker = linker(engine, &Interface::ALL.into(), true).map_err(|e| format!("{e:#}"))?;
    let linked = linker.instantiate_pre(component);
    Ok(linked.err().map(|error| format!("{error:#}")))
}

fn linker(
    engine: &Engine,
    asks: &BTreeSet<Interface>,
    is_inert: bool,
) -> wasmtime::Result<Linker<State>> {
    type Own = HasSelf<State>;
    let mut linker = Linker::<State>::new(engine);
    hm::backend::types::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    hm::backend::events::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    hm::backend::control::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    hm::backend::diagnostics::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    wasmtime_wasi::p3::clocks::add_to_linker(&mut linker)?;
    if asks.contains(&Interface::Vm) {
        hm::backend::vm::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    }
    if asks.contains(&Interface::Source) {
        hm::backend::source::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    }
    // Tables of headers do nothing by themselves: every component may have them.
    http::types::add_to_linker::<_, WasiHttp>(&mut linker, State::http)?;
    words::bound(&mut linker)?;
    if asks.contains(&Interface::Http) {
        http::client::add_to_linker::<_, WasiHttp>(&mut linker, State::http)?;
    }
    if is_inert {
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    }
    Ok(linker)
}

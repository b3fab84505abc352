//! What the contract becomes in Rust: generated from `wit/v0.1`.

#![allow(
    missing_docs,
    unreachable_pub,
    reason = "generated; the documentation stands in the WIT"
)]

wasmtime::component::bindgen!({
    path: "../../wit/v0.1",
    // What this host offers. A component may import less; more is refused by name before
    // anything is linked.
    world: "hm:backend/backend",
    imports: {
        // Not async in the contract, but a stream is made in the store.
        "hm:backend/source.archive": store | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "hm:backend/vm.machine": crate::capability::vm::MachineEntry,
        "hm:backend/vm.snapshot": crate::capability::vm::SnapshotEntry,
        "wasi:http": wasmtime_wasi_http::p3::bindings::http,
        "wasi:clocks": wasmtime_wasi::p3::bindings::clocks,
    },
    trappable_error_type: { "hm:backend/vm.vm-error" => crate::capability::vm::VmFail },
    require_store_data_send: true,
});

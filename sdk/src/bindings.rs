//! Bindings generated from `wit/v0.1`, for what the crate's root does not re-export.

wit_bindgen::generate!({
    path: "../wit/v0.1",
    world: "hm:backend/backend",
    with: {
        "wasi:http/types@0.3.0": wasip3::http::types,
        "wasi:http/client@0.3.0": wasip3::http::client,
        "wasi:clocks/types@0.3.0": wasip3::clocks::types,
        "wasi:clocks/monotonic-clock@0.3.0": wasip3::clocks::monotonic_clock,
    },
    generate_unused_types: true,
    // Plain data compares and clones, so that tests can keep and match it. These three
    // hold streams.
    additional_derives: [Clone, PartialEq, Eq],
    additional_derives_ignore: ["running-exec", "archive-stream", "running-build"],
    pub_export_macro: true,
    export_macro_name: "export_backend",
    default_bindings_module: "hm_backend_sdk::bindings",
});

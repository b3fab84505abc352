//! How the engine is set up: the same in this process and in the one that compiles.

use sha2::{Digest, Sha256};
use wasmtime::{Config, Engine, Strategy, WasmFeatures};

use super::LoadError;

/// The part of WebAssembly that backends may use: what is stable, and component-model
/// async (reference `sandbox`, section 3). Everything else is off by name, so that a new
/// version of the engine opens nothing by itself, and the reader of a component and its
/// compiler accept the same.
///
/// Garbage collection, exceptions and threads are not compiled in at all; without a
/// collector there is no heap beside the linear memories that would have to be counted.
pub(super) const FEATURES: WasmFeatures = WasmFeatures::WASM3
    .difference(WasmFeatures::GC)
    .difference(WasmFeatures::GC_TYPES)
    .difference(WasmFeatures::FUNCTION_REFERENCES)
    .difference(WasmFeatures::EXCEPTIONS)
    .difference(WasmFeatures::THREADS)
    .difference(WasmFeatures::MEMORY64)
    .difference(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::COMPONENT_MODEL)
    .union(WasmFeatures::CM_ASYNC);

/// Bytes of the stack that a guest's code may use.
pub(crate) const STACK_BYTES: usize = 512 << 10;
/// Bytes of the whole stack below a guest's call; the host's functions need the rest.
const FIBER_BYTES: usize = 2 << 20;

/// Makes an engine. Two with the same settings load each other's code.
pub(super) fn new() -> Result<Engine, LoadError> {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(FIBER_BYTES)
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(FEATURES, true)
        // Else an environment variable decides.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    Engine::new(&config).map_err(|error| LoadError::Engine(format!("{error:#}")))
}

/// Returns what the engine's version, target and settings make of the same component.
pub(super) fn fingerprint(engine: &Engine) -> [u8; 32] {
    let mut hasher = Stable(Sha256::new());
    std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut hasher);
    hasher.0.finalize().into()
}

/// Lets what only implements `Hash` into a digest that is the same in every process.
struct Stable(Sha256);

impl std::hash::Hasher for Stable {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

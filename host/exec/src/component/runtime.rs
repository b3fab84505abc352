//! The engine of the process, and how a component's bytes become code.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::{Config, Engine, Strategy};

use super::inspection::{self, Import};
use super::{CodeCache, Inspection, Limits, LoadError};

/// How often the guest's code is interrupted to look at its limits.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The interface that makes a component a backend.
const CONTRACT_EXPORT: &str = "hm:backend/execution-backend@0.1.0";

/// How the engine is set up.
#[derive(Debug, Clone, Default)]
pub struct RuntimeConfig {
    /// Where compiled code is kept; none compiles at each load.
    pub code_cache: Option<PathBuf>,
    /// For every component that this runtime runs.
    pub limits: Limits,
}

/// The engine of the process: compiles components and runs them.
pub struct Runtime {
    engine: Engine,
    cache: Option<CodeCache>,
    limits: Limits,
}

/// Where a component's bytes come from.
#[derive(Debug, Clone)]
pub enum ComponentSource {
    /// A file, read once and whole.
    File(PathBuf),
    /// In this program.
    Embedded {
        /// For messages.
        name: &'static str,
        /// The component.
        bytes: &'static [u8],
    },
}

/// A component that was compiled and inspected. Nothing of it has run.
#[derive(Clone)]
pub struct LoadedComponent {
    pub(super) component: Component,
    name: String,
    inspection: Arc<Inspection>,
}

impl LoadedComponent {
    /// Returns what the component is and asks for.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// Returns how the component was named when it was loaded.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Runtime {
    /// Sets up the engine, and the thread that interrupts guests.
    ///
    /// # Errors
    /// The engine does not work on this machine.
    pub fn new(config: RuntimeConfig) -> Result<Arc<Self>, LoadError> {
        let engine =
            Engine::new(&settings()).map_err(|error| LoadError::Engine(format!("{error:#}")))?;
        let weak = engine.weak();
        std::thread::Builder::new()
            .name("hm-epoch".into())
            .spawn(move || {
                // Ends with the engine.
                while let Some(engine) = weak.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(TICK);
                }
            })
            .map_err(|error| LoadError::Engine(format!("cannot start a thread: {error}")))?;
        let cache = config.code_cache.map(CodeCache::new);
        Ok(Arc::new(Self {
            engine,
            cache,
            limits: config.limits,
        }))
    }

    /// Returns the ceilings of every component that runs here.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Reads, compiles (or takes from the cache) and inspects a component. Blocks for as
    /// long as compiling takes; nothing of the component runs.
    ///
    /// # Errors
    /// The file is no component, no backend, or imports what no grant can give.
    pub fn load(&self, source: &ComponentSource) -> Result<LoadedComponent, LoadError> {
        let (name, bytes) = self.read(source)?;
        recognise(&name, &bytes)?;
        let digest = hex::encode(Sha256::digest(&bytes));
        let component = self.compile(&name, &digest, &bytes)?;
        let inspection = self.inspect(&name, digest, &bytes, &component)?;
        Ok(LoadedComponent {
            component,
            name,
            inspection: Arc::new(inspection),
        })
    }

    fn read<'a>(
        &self,
        source: &'a ComponentSource,
    ) -> Result<(String, std::borrow::Cow<'a, [u8]>), LoadError> {
        let path = match source {
            ComponentSource::Embedded { name, bytes } => {
                return Ok(((*name).to_owned(), (*bytes).into()));
            }
            ComponentSource::File(path) => path,
        };
        let failed = |source| LoadError::Read {
            path: path.clone(),
            source,
        };
        let name = crate::sequencer::clean::one_line(&path.display().to_string());
        let limit = self.limits.file_bytes;
        // A pipe that nobody writes to would hold up an ordinary open for ever.
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options()
            .read(true)
            .custom_flags(nonblocking)
            .open(path)
            .map_err(failed)?;
        let kind = file.metadata().map_err(failed)?;
        if kind.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        if !kind.is_file() {
            let what = "no regular file".into();
            return Err(LoadError::NotAComponent { name, what });
        }
        if kind.len() > limit {
            return Err(LoadError::TooLarge { name, limit });
        }
        let mut bytes = Vec::with_capacity(kind.len() as usize);
        // One more than allowed, for a file that grows while it is read.
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(LoadError::TooLarge { name, limit });
        }
        Ok((name, bytes.into()))
    }

    fn compile(&self, name: &str, digest: &str, bytes: &[u8]) -> Result<Component, LoadError> {
        if let Some(component) = self
            .cache
            .as_ref()
            .and_then(|cache| cache.get(&self.engine, digest))
        {
            return Ok(component);
        }
        let component =
            Component::from_binary(&self.engine, bytes).map_err(|error| LoadError::Compile {
                name: name.into(),
                reason: format!("{error:#}"),
            })?;
        if let Some(cache) = &self.cache {
            cache.put(&self.engine, digest, &component);
        }
        Ok(component)
    }

    fn inspect(
        &self,
        name: &str,
        digest: String,
        bytes: &[u8],
        component: &Component,
    ) -> Result<Inspection, LoadError> {
        let ty = component.component_type();
        if !ty
            .exports(&self.engine)
            .any(|(export, _)| export == CONTRACT_EXPORT)
        {
            return Err(LoadError::NotABackend {
                name: name.into(),
                missing: CONTRACT_EXPORT.into(),
            });
        }
        let mut imports = Vec::new();
        let mut asks = std::collections::BTreeSet::new();
        for (import, item) in ty.imports(&self.engine) {
            // An instance without functions and resources only names types.
            let is_types = match &item.ty {
                ComponentItem::ComponentInstance(instance) => {
                    !instance.exports(&self.engine).any(|(_, item)| {
                        matches!(
                            item.ty,
                            ComponentItem::ComponentFunc(_) | ComponentItem::Resource(_)
                        )
                    })
                }
                _ => false,
            };
            imports.push(import.to_owned());
            match inspection::classify(import) {
                Some(Import::Asks(interface)) if !is_types => {
                    asks.insert(interface);
                }
                Some(_) => {}
                None if is_types => {}
                None => {
                    return Err(LoadError::UnknownImport {
                        name: name.into(),
                        import: crate::sequencer::clean::one_line(import),
                        offered: inspection::OFFERED.into(),
                    });
                }
            }
        }
        Ok(Inspection {
            digest: format!("sha256:{digest}"),
            size: bytes.len() as u64,
            imports,
            asks,
            author: inspection::author(bytes),
        })
    }
}

/// The part of WebAssembly that backends may use: what is stable, and component-model
/// async (reference `sandbox`, section 3).
fn settings() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .epoch_interruption(true)
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_custom_page_sizes(false)
        // Else an environment variable decides.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    config
}

/// Refuses what is not a component binary, by the name of what it is.
fn recognise(name: &str, bytes: &[u8]) -> Result<(), LoadError> {
    use wasmparser::Parser;
    let what = if Parser::is_component(bytes) && Engine::detect_precompiled(bytes).is_none() {
        return Ok(());
    } else if bytes.is_empty() {
        "an empty file"
    } else if Engine::detect_precompiled(bytes).is_some() {
        "compiled machine code, which is never loaded from a file"
    } else if Parser::is_core_wasm(bytes) {
        "a core module"
    } else if bytes.trim_ascii_start().starts_with(b"(") {
        "WebAssembly text"
    } else if bytes.starts_with(b"\x7fELF") {
        "a native program"
    } else {
        "no WebAssembly"
    };
    Err(LoadError::NotAComponent {
        name: name.into(),
        what: what.into(),
    })
}

//! The engine of the process, and how a component's bytes become code.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::code_cache::{Compiled, Name};
use super::inspection::{self, Import};
use super::worker::{Report, Worker, WorkerEnd, WorkerError};
use super::{
    CodeCache, ComponentFile, ComponentSource, Inspection, LimitHit, Limits, LoadError, engine,
};
use crate::sequencer::clean::{message, one_line};

/// How often the guest's code is interrupted to look at its limits.
const TICK: Duration = Duration::from_millis(10);

/// The interface that makes a component a backend.
const CONTRACT_EXPORT: &str = "hm:backend/execution-backend@0.1.0";

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Where compiled code is kept; none compiles at each load.
    pub code_cache: Option<CodeCache>,
    /// For every component that this runtime runs.
    pub limits: Limits,
    /// The program that calls [`worker_main`](crate::worker_main) with its last argument,
    /// and the arguments before that one: it reads and compiles components, so that hostile
    /// bytes can hurt nothing else.
    pub worker: Vec<OsString>,
}

impl Default for RuntimeConfig {
    /// No cache, the default limits, and this very program as the worker.
    fn default() -> Self {
        Self {
            code_cache: None,
            limits: Limits::default(),
            worker: vec!["/proc/self/exe".into()],
        }
    }
}

/// The engine of the process: has components read and compiled, and runs them.
pub struct Runtime {
    engine: Engine,
    fingerprint: [u8; 32],
    cache: Option<CodeCache>,
    limits: Limits,
    worker: Worker,
}

/// A component of which is known what it asks for. Nothing of it was compiled for that.
pub struct Examined {
    file: ComponentFile,
    report: Report,
    inspection: Arc<Inspection>,
    compiled: Option<Compiled>,
}

impl Examined {
    /// Returns what the component is and asks for.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }
}

/// A component whose code is at hand. Nothing of it has run.
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
        let engine = engine::new()?;
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
        Ok(Arc::new(Self {
            fingerprint: engine::fingerprint(&engine),
            engine,
            cache: config.code_cache,
            limits: config.limits,
            worker: Worker::new(config.worker),
        }))
    }

    /// Returns the ceilings of every component that runs here.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Reads a component's bytes once, so that they have a digest. Parses nothing.
    ///
    /// # Errors
    /// The file cannot be read, or its first bytes are no component's.
    pub fn read(&self, source: &ComponentSource) -> Result<ComponentFile, LoadError> {
        ComponentFile::read(source, self.limits.file_bytes)
    }

    /// Finds out what a component is and asks for: from the sealed cache, or else in a
    /// process of its own. Nothing of it is compiled or run. Blocks.
    ///
    /// # Errors
    /// It is no valid component, no backend, or imports what no grant can give.
    pub fn examine(&self, file: ComponentFile) -> Result<Examined, LoadError> {
        let compiled = self
            .cache
            .as_ref()
            .and_then(|cache| cache.get(self.name_of(&file)));
        let report = match &compiled {
            Some(compiled) => compiled.report.clone(),
            None => self
                .worker
                .inspect(file.bytes())
                .map_err(|error| load_error(&file, "read", error))?,
        };
        let inspection = judge(&file, &report)?;
        Ok(Examined {
            file,
            report,
            inspection: Arc::new(inspection),
            compiled,
        })
    }

    /// Turns a component into code: takes it from the sealed cache, or has it compiled in a
    /// process of its own, within the limits on that. Nothing of it runs. Blocks.
    ///
    /// # Errors
    /// It cannot be compiled.
    pub fn compile(
        &self,
        examined: Examined,
        limits: &Limits,
    ) -> Result<LoadedComponent, LoadError> {
        let Examined {
            file,
            report,
            inspection,
            compiled,
        } = examined;
        let cached = compiled.and_then(|compiled| self.use_cached(&file, &compiled));
        let component = match cached {
            Some(component) => component,
            None => {
                let code = self
                    .worker
                    .compile(file.bytes(), limits)
                    .map_err(|error| load_error(&file, "compiled", error))
                    .map_err(|error| raisable(error, limits))?;
                let component = self.deserialize(&code).map_err(LoadError::Engine)?;
                if let Some(cache) = &self.cache {
                    cache.put(self.name_of(&file), &report, &code);
                }
                component
            }
        };
        self.check(&file, &report, &component)?;
        Ok(LoadedComponent {
            component,
            name: file.name().to_owned(),
            inspection,
        })
    }

    /// Does all of the above in a row, for components that need nobody's consent.
    ///
    /// # Errors
    /// See [`read`](Self::read), [`examine`](Self::examine) and [`compile`](Self::compile).
    pub fn load(&self, source: &ComponentSource) -> Result<LoadedComponent, LoadError> {
        self.compile(self.examine(self.read(source)?)?, &self.limits)
    }

    /// Returns the imports of a component that was compiled here before, by its digest
    /// (`sha256:` and 64 hex digits).
    pub fn remembered_imports(&self, digest: &str) -> Option<Vec<String>> {
        let raw = hex::decode(digest.strip_prefix("sha256:")?).ok()?;
        let name = Name {
            digest: raw.as_slice().try_into().ok()?,
            engine: &self.fingerprint,
        };
        let report = self.cache.as_ref()?.get(name)?.report;
        Some(
            report
                .imports
                .into_iter()
                .map(|import| import.name)
                .collect(),
        )
    }

    fn name_of<'a>(&'a self, file: &'a ComponentFile) -> Name<'a> {
        Name {
            digest: file.raw_digest(),
            engine: &self.fingerprint,
        }
    }

    fn use_cached(&self, file: &ComponentFile, compiled: &Compiled) -> Option<Component> {
        match self.deserialize(compiled.code()) {
            Ok(component) => Some(component),
            Err(why) => {
                if let Some(cache) = &self.cache {
                    cache.discard(self.name_of(file), &one_line(&why));
                }
                None
            }
        }
    }

    fn deserialize(&self, code: &[u8]) -> Result<Component, String> {
        // SAFETY: the bytes are what this user's worker compiled a moment ago, or an entry
        // that this user's `hm` sealed with a key that only this user can read, checked in
        // these very bytes. The engine itself refuses code of another version or of other
        // settings.
        unsafe { Component::deserialize(&self.engine, code) }.map_err(|error| format!("{error:#}"))
    }

    /// Holds the code against what was found in the bytes.
    fn check(
        &self,
        file: &ComponentFile,
        report: &Report,
        component: &Component,
    ) -> Result<(), LoadError> {
        let ty = component.component_type();
        let compiled: BTreeSet<_> = ty.imports(&self.engine).map(|(name, _)| name).collect();
        let read: BTreeSet<_> = report.imports.iter().map(|i| i.name.as_str()).collect();
        if compiled != read {
            return Err(LoadError::Compile {
                name: file.name().to_owned(),
                reason: "its code has other imports than its bytes".into(),
            });
        }
        Ok(())
    }
}

fn load_error(file: &ComponentFile, what: &'static str, error: WorkerError) -> LoadError {
    let name = file.name().to_owned();
    match error {
        WorkerError::Refused(reason) if what == "read" => LoadError::Invalid { name, reason },
        WorkerError::Refused(reason) => LoadError::Compile { name, reason },
        WorkerError::Ended(why) => LoadError::Worker {
            name,
            what,
            why,
            limit: None,
        },
    }
}

/// Adds the limit that compiling ran into.
fn raisable(mut error: LoadError, limits: &Limits) -> LoadError {
    if let LoadError::Worker { why, limit, .. } = &mut error {
        let key = match why {
            WorkerEnd::Time(_) => Some("compile"),
            WorkerEnd::Crashed { .. } => Some("compile-memory"),
            _ => None,
        };
        *limit = key.map(|key| Box::new(LimitHit::of(key, limits)));
    }
    error
}

/// Judges what was found in a component's bytes.
fn judge(file: &ComponentFile, report: &Report) -> Result<Inspection, LoadError> {
    let name = || file.name().to_owned();
    let mut asks = BTreeSet::new();
    for import in &report.imports {
        match inspection::classify(&import.name) {
            Some(Import::Asks(interface)) if !import.is_types => {
                asks.insert(interface);
            }
            Some(_) => {}
            None if import.is_types => {}
            None => {
                return Err(LoadError::UnknownImport {
                    name: name(),
                    import: message(&import.name),
                    offered: inspection::OFFERED.into(),
                });
            }
        }
    }
    if !report
        .exports
        .iter()
        .any(|export| export == CONTRACT_EXPORT)
    {
        return Err(LoadError::NotABackend {
            name: name(),
            missing: CONTRACT_EXPORT.into(),
        });
    }
    if let Some(misfit) = &report.misfit {
        return Err(LoadError::Mismatch {
            name: name(),
            reason: message(misfit),
        });
    }
    Ok(Inspection {
        digest: file.digest(),
        size: file.size(),
        contract: CONTRACT_EXPORT.into(),
        imports: report.imports.iter().map(|i| i.name.clone()).collect(),
        asks,
        author: report.author.clone(),
        tools: report.tools.clone(),
    })
}

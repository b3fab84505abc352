//! Execution backends: the native API, and the WebAssembly components behind it.
//!
//! An [`ExecutionBackend`] takes a [`RunRequest`] and gives a [`BackendHandle`]: one
//! ordered stream of events and one outcome. [`ComponentBackend`] is any component that
//! exports `hm:backend/execution-backend`; [`LocalBackend`] and [`CloudBackend`] are built in.
//!
//! Nothing here prints, reads the environment, or touches configuration and credentials:
//! all of it comes in as values.

mod api;
mod capability;
mod cloud;
mod component;
#[cfg(feature = "internals")]
pub mod internals;
mod local;
mod sequencer;
mod session;

pub use api::{
    BackendError, BackendHandle, Broken, CancelReason, Canceller, Capabilities, Control,
    EventStream, ExecutionBackend, KeyLog, Keys, Refused, Result, RunOptions, RunRequest, Secrets,
    SourceMeta,
};
pub use capability::http::{
    Credential, HttpGrant, HttpNetwork, HttpProxy, Pattern, PatternError, PrivateRange, Resolver,
    SystemResolver,
};
pub use capability::{Grants, ImageMap, ImagePolicy, SourceGrant, VmGrant};
pub use cloud::{CloudBackend, CloudConfig, CloudError};
pub use component::{
    Author, CodeCache, ComponentBackend, ComponentFile, ComponentSource, Examined, Inspection,
    Interface, LimitHit, LimitKey, Limits, LoadError, LoadedComponent, Runtime, RuntimeConfig,
    Tool, Unit, WorkerEnd, worker_main,
};
pub use hm_plugin_protocol::{
    BuildEvent, BuildOutcome, BuildRef, BuildStatus, Plan, StepResultSummary, StepStatus,
};
pub use local::LocalBackend;

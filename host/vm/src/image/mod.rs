//! Images without a daemon: fetched from registries or brought in from files, unpacked
//! once into layers that machines share.
//!
//! - What a name stands for is asked of its registry when it is not here, or when the
//!   user says so; never behind a build's back.
//! - Every byte is checked against the digest that its reference promised: manifest,
//!   configuration, layer as sent, layer as unpacked.
//! - A layer is unpacked as if its maker were hostile (`layer`).
//! - Processes that want the same layer take turns, and the second finds it there.

mod assemble;
mod config;
mod failure;
mod files;
mod images;
mod import;
mod layer;
mod lock;
mod making;
mod manifest;
mod platform;
mod pull;
mod registries;
mod store;
mod unpacker;

pub use config::ImageConfig;
pub use images::{Images, ImagesConfig, ListedImage};
pub use import::ImportSource;
pub(crate) use import::{Folder, stage_archive};
pub(crate) use layer::{Dialect, OPAQUE, Refusal, Stop, Unpacking, unpack};
pub use layer::{Flavour, ImageLimits};
pub use platform::Platform;
pub use registries::{Credential, Credentials, Proxies, Registries, RegistryOptions};
pub use store::{Collected, Image, Origin};
pub(crate) use store::{mark_synced, unsynced};

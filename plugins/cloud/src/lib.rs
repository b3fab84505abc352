//! The execution backend `cloud`: submits a build to Harmont's cloud and watches it.
//!
//! A component like a stranger's, with two grants: `source`, and `http` for one origin. The
//! host attaches the credential, which is never here.
//!
//! ```text
//! backend ─► submit ─► pipeline        which pipeline, one build and not two
//!    └─────► watch ──► progress        what may be told of each step, and when
//!              ├─────► follow          one log, each chunk once
//!              └─────► cancel          never what has ended
//! ```

mod backend;
mod cancel;
mod follow;
mod pipeline;
mod progress;
mod service;
mod settings;
mod slots;
mod submit;
mod tokens;
mod watch;

pub use backend::Cloud;

hm_backend_sdk::export!(Cloud);

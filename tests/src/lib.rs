//! What the whole-program tests share: a project in a folder of its own, the real `hm` run
//! on it, what it said, and what it left behind.
//!
//! Nothing here looks inside `hm`. Every child has a limit of time, so that a hang is a
//! failed test; every test has folders of its own, so that tests may run side by side.
//! Compiled components alone are shared, as they are expensive and never change.

mod archive;
mod build;
mod bytes;
mod capture;
mod docker;
mod finished;
mod guest;
pub mod image;
mod invocation;
mod leftovers;
mod ordinary_user;
mod peer;
mod pipeline;
mod program;
mod project;
mod python;
mod registry_server;
mod requirement;
mod running;
mod terminal;

pub use archive::Archive;
pub use build::{Build, Line, StepRun, Stream};
pub use bytes::{COMPONENT, MODULE, assemble, graft, graft_with, leb128, section, sections};
pub use docker::Docker;
pub use finished::Finished;
pub use guest::{component_folder, example, guest};
pub use invocation::{Invocation, LIMIT};
pub use leftovers::{assert_nothing_left, processes_with};
pub use ordinary_user::{again_as_ordinary_user, assert_ran};
pub use peer::{Peer, Received, response};
pub use pipeline::{Document, Pipeline, document, samples};
pub use program::{hm, shared_folder, workspace};
pub use project::Project;
pub use python::python_path;
pub use registry_server::{RegistryOptions, RegistryServer};
pub use requirement::cannot;
pub use running::Running;
pub use terminal::{Seen, Terminal};

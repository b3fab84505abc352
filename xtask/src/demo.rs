//! `cargo xtask demo`: from a fresh checkout to a pipeline's verdict.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{release_hm, root, status};

/// Builds in release and runs the pipeline of `examples/hello` on the embedded default.
pub(crate) fn run() -> Result<ExitCode> {
    let hm = release_hm()?;
    let project = root().join("examples/hello");
    println!("$ cd {} && {} run", project.display(), hm.display());
    let status = status(Command::new(&hm).arg("run").current_dir(&project))?;
    Ok(ExitCode::from(
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    ))
}

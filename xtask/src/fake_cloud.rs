//! `cargo xtask fake-cloud`: builds the service that stands for Harmont's cloud, and becomes it.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::cargo::{cargo, succeed, target_dir};

/// Builds the service and runs it until it is ended: signals go to it and not to us.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    succeed(cargo().args(["build", "--quiet", "--package", "hm-fake-cloud"]))?;
    let program = target_dir().join("debug/hm-fake-cloud");
    let error = Command::new(&program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

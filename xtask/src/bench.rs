//! `cargo xtask bench`: hands `hm` to the program that measures it.

use std::process::ExitCode;

use anyhow::Result;

use crate::cargo::{cargo, release_hm, succeed};

/// Builds both in release, and measures the rows whose names contain one of `rows`.
pub(crate) fn run(rows: &[String]) -> Result<ExitCode> {
    let hm = release_hm()?;
    let mut bench = cargo();
    bench.args(["run", "--quiet", "--release", "--package", "hm-bench", "--"]);
    succeed(bench.arg(hm).args(rows))?;
    Ok(ExitCode::SUCCESS)
}

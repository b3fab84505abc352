//! `cargo xtask test`: every test, and the names of those that could not run here.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::cargo::{cargo, ensure_toolchain, root, status, succeed};
use crate::skipped::{in_line, in_report};

/// What tests look at to tell "skipped" from "failed".
const REQUIRE: [(&str, &str); 2] = [("HM_TEST_REQUIRE", "all"), ("HM_TEST_REQUIRE_ALL", "1")];

/// Runs the tests; `arguments` go to the runner. With `require_all`, a test that cannot run
/// on this machine fails.
pub(crate) fn run(require_all: bool, arguments: &[String]) -> Result<ExitCode> {
    ensure_toolchain()?;
    // The tests of the whole program run the `hm` that lies beside them. Chosen from the
    // workspace, so that it is the one that the tests' own build would make.
    succeed(cargo().args(["build", "--workspace", "--bin", "hm"]))?;
    let environment = if require_all { &REQUIRE[..] } else { &[] };
    let mut passed = true;
    if arguments.is_empty() {
        // Nextest leaves out the examples in the documentation.
        let mut doc = cargo();
        doc.args(["test", "--workspace", "--doc", "--quiet"])
            .envs(environment.iter().copied());
        passed = status(&mut doc)?.success();
    }
    let (tests_passed, skipped) = if has_nextest() {
        nextest(environment, arguments)?
    } else {
        cargo_test(environment, arguments)?
    };
    match skipped.len() {
        0 => {}
        1 => println!("1 test could not run on this machine:"),
        count => println!("{count} tests could not run on this machine:"),
    }
    for line in skipped {
        println!("  {line}");
    }
    Ok(if passed && tests_passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn has_nextest() -> bool {
    let version = cargo().args(["nextest", "--version"]).output();
    version.is_ok_and(|output| output.status.success())
}

fn nextest(environment: &[(&str, &str)], arguments: &[String]) -> Result<(bool, Vec<String>)> {
    // Nextest's store, which does not move with cargo's folder.
    let report = root().join("target/nextest/default/junit.xml");
    // An older report must not speak for a run that ends before it writes its own.
    let _ = fs::remove_file(&report);
    let mut nextest = cargo();
    nextest
        .args(["nextest", "run", "--workspace"])
        .args(arguments)
        .envs(environment.iter().copied());
    let passed = status(&mut nextest)?.success();
    let skipped = fs::read_to_string(&report)
        .map(|text| in_report(&text))
        .unwrap_or_default();
    Ok((passed, skipped))
}

fn cargo_test(environment: &[(&str, &str)], arguments: &[String]) -> Result<(bool, Vec<String>)> {
    let mut test: Command = cargo();
    test.args([
        "test",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
        "--no-fail-fast",
    ])
    .args(["--", "--show-output"])
    .args(arguments)
    .envs(environment.iter().copied());
    let mut child = test
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run `cargo test`")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut skipped = Vec::new();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read the output of `cargo test`")?;
        let line = String::from_utf8_lossy(&line);
        skipped.extend(in_line(&line));
        println!("{line}");
    }
    let passed = child
        .wait()
        .context("cannot wait for `cargo test`")?
        .success();
    skipped.sort_unstable();
    skipped.dedup();
    Ok((passed, skipped))
}

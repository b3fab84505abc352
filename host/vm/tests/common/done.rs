//! Commands run to their end, on any engine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use hm_vm::{ExecSpec, ExecStatus, Execution, Machine, VmError};
use tokio::io::AsyncReadExt;

/// Longer than anything takes; a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(150);

/// What a command did.
#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    pub status: ExecStatus,
    pub stdout: String,
    pub stderr: String,
}

pub fn command(text: &str) -> ExecSpec {
    ExecSpec {
        command: text.into(),
        env: BTreeMap::new(),
        working_dir: None,
        timeout: None,
        is_last: false,
    }
}

pub async fn run(machine: &dyn Machine, text: &str) -> Done {
    run_spec(machine, command(text))
        .await
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub async fn run_spec(machine: &dyn Machine, spec: ExecSpec) -> Result<Done, VmError> {
    finish(machine.exec(spec).await?).await
}

pub async fn finish(execution: Execution) -> Result<Done, VmError> {
    let Execution {
        mut stdout,
        mut stderr,
        status,
    } = execution;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let all = async {
        tokio::join!(
            stdout.read_to_end(&mut out),
            stderr.read_to_end(&mut err),
            status
        )
    };
    let (read_out, read_err, status) = tokio::time::timeout(PATIENCE, all)
        .await
        .expect("the command ends");
    read_out.expect("output is read");
    read_err.expect("errors are read");
    Ok(Done {
        status: status?,
        stdout: String::from_utf8_lossy(&out).into_owned(),
        stderr: String::from_utf8_lossy(&err).into_owned(),
    })
}

/// Asserts that a command passed, and returns what it printed.
#[track_caller]
pub fn passed(done: Done) -> String {
    assert_eq!(
        (done.status, done.stderr.as_str()),
        (ExecStatus::Exited(0), ""),
        "{done:?}"
    );
    done.stdout
}

/// The program that starts machines.
pub fn spawner() -> Vec<OsString> {
    let path = std::env::var_os("HM_TEST_SPAWNER");
    vec![path.unwrap_or_else(|| env!("CARGO_BIN_EXE_hm-vm-spawner").into())]
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

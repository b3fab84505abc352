//! `machine.exec`: any other command, whose output goes to the guest.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hm_vm::{ExecSpec, ExecStatus, Execution, Output, VmError};
use tokio::io::AsyncReadExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::machine::GuestMachine;
use super::session::{COMMANDS_MAX, chain};
use super::{CallError, VmSession, wit};

/// Bytes of a command.
const COMMAND_MAX: usize = 128 << 10;
/// Entries and bytes of an environment.
const ENV_MAX: (usize, usize) = (512, 128 << 10);
/// Bytes of a folder's path.
const FOLDER_MAX: usize = 1 << 10;

/// A command's merged output and its status, before they become guest streams.
pub(super) struct Started {
    pub(super) output: mpsc::Receiver<Bytes>,
    pub(super) status: futures::future::BoxFuture<'static, Result<wit::ExecStatus, wit::VmError>>,
}

/// Starts a command. From now on the machine is no step's start.
pub(super) async fn exec(
    vm: &VmSession,
    machine: Arc<GuestMachine>,
    spec: wit::ExecSpec,
) -> Result<Started, CallError> {
    let spec = checked(spec)?;
    let Ok(permit) = vm.commands.clone().try_acquire_owned() else {
        return Err(CallError::limit(format!(
            "commands at one time {COMMANDS_MAX}"
        )));
    };
    let command = machine.begin_other(&vm.readable)?;
    let Execution {
        stdout,
        stderr,
        status,
    } = machine.exec(vm, spec).await?;
    // Small: what the guest does not read holds the command back.
    let (sender, output) = mpsc::channel(4);
    // What has not been read keeps two pipes open: it counts as long as the command itself.
    let permit = Arc::new(permit);
    tokio::spawn(forward(stdout, sender.clone(), permit.clone()));
    tokio::spawn(forward(stderr, sender, permit.clone()));
    let status = Box::pin(async move {
        let ended = status.await;
        drop((command, permit));
        match ended {
            Ok(ExecStatus::Exited(code)) => Ok(wit::ExecStatus::Exited(code)),
            Ok(ExecStatus::Signaled(signal)) => Ok(wit::ExecStatus::Signaled(signal)),
            Ok(ExecStatus::TimedOut | ExecStatus::OutOfProcesses(None)) => {
                Ok(wit::ExecStatus::TimedOut)
            }
            Ok(ExecStatus::OutOfMemory) => Ok(wit::ExecStatus::OutOfMemory),
            Ok(ExecStatus::OutOfDisk) => Err(wit::VmError::Limit("disk".into())),
            Ok(ExecStatus::DiskFull(code) | ExecStatus::OutOfProcesses(Some(code))) => {
                Ok(wit::ExecStatus::Exited(code))
            }
            Err(error @ VmError::Gone(_)) => Err(wit::VmError::Gone(chain(&error))),
            Err(error) => Err(wit::VmError::Other(chain(&error))),
        }
    });
    Ok(Started { output, status })
}

/// Holds a guest's command to the limits and the grammar (reference `sandbox`, section 7).
fn checked(spec: wit::ExecSpec) -> Result<ExecSpec, CallError> {
    if spec.command.len() > COMMAND_MAX {
        return Err(CallError::limit(format!("command {COMMAND_MAX} bytes")));
    }
    if spec.command.contains('\0') {
        return Err(CallError::denied("command: holds a NUL"));
    }
    let bytes: usize = spec
        .env
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if spec.env.len() > ENV_MAX.0 || bytes > ENV_MAX.1 {
        return Err(CallError::limit(format!(
            "env {} entries, {} bytes",
            ENV_MAX.0, ENV_MAX.1
        )));
    }
    let mut env = BTreeMap::new();
    for (name, value) in spec.env {
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if !is_name {
            return Err(CallError::denied(
                "env: a name may hold letters, digits and _ only",
            ));
        }
        if value.contains('\0') {
            return Err(CallError::denied(format!("env {name}: holds a NUL")));
        }
        if env.insert(name.clone(), value).is_some() {
            return Err(CallError::denied(format!("env {name}: given twice")));
        }
    }
    if let Some(folder) = &spec.working_dir {
        if folder.len() > FOLDER_MAX {
            return Err(CallError::limit(format!("working-dir {FOLDER_MAX} bytes")));
        }
        if folder.contains('\0') || folder.split('/').any(|part| part == "..") {
            return Err(CallError::denied(
                "working-dir: NUL and `..` are not allowed",
            ));
        }
    }
    Ok(ExecSpec {
        command: spec.command,
        env,
        working_dir: spec.working_dir,
        timeout: spec.timeout_ms.map(std::time::Duration::from_millis),
        is_last: false,
    })
}

async fn forward(mut output: Output, to: mpsc::Sender<Bytes>, _counted: Arc<OwnedSemaphorePermit>) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(16 << 10);
        match output.read_buf(&mut buffer).await {
            Ok(1..) if to.send(buffer.split().freeze()).await.is_ok() => {}
            _ => return,
        }
    }
}

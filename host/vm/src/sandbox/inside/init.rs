//! The first process of a machine.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use rustix::thread::CapabilitySet;

use super::assemble::{HOSTNAME, assemble, raise_loopback, renew_volatile};
use super::carrier;
use super::image::{self, NetworkFiles};
use super::jobs::Jobs;
use super::signals;
use super::stage::Stage;
use crate::sandbox::cgroup::PerProcess;
use crate::sandbox::failure::{Failure, failed};
use crate::sandbox::network::Connection;
use crate::sandbox::wire::{self, Boot, Exec, FromMachine, ToMachine};

/// Capabilities that commands keep (vm reference, A5).
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT);

/// Becomes a machine. Returns when nobody can ask it for anything any more. What carries
/// its packets, if anything does, ends with the last descriptor of `carrier`.
pub(super) fn run(stage: &Stage, boot: &Boot, socket: &OwnedFd, carrier: Option<&OwnedFd>) {
    match prepare(stage, boot, carrier) {
        Ok((signals, null)) => {
            if wire::send(socket, &FromMachine::Ready, &[]).is_ok() {
                serve(socket, &signals, &null, &image::own_files(stage, boot));
            }
        }
        Err(failure) => {
            let _ = wire::send(socket, &FromMachine::Failed(failure), &[]);
        }
    }
}

fn prepare(
    stage: &Stage,
    boot: &Boot,
    carrier: Option<&OwnedFd>,
) -> Result<(OwnedFd, OwnedFd), Failure> {
    // The spawner is its parent; if that has died already, the socket is at its end.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(failed("cannot tie", "the machine to its spawner"))?;
    let signals = signals::watch_children().map_err(failed("cannot watch", "child processes"))?;
    for file in &boot.cgroups {
        std::fs::write(file, "0").map_err(failed("cannot enter the control group", file))?;
    }
    rustix::system::sethostname(HOSTNAME.as_bytes())
        .map_err(failed("cannot set", "the host name"))?;
    if boot.network != Connection::Host {
        raise_loopback()?;
    }
    if let Some(carrier) = carrier {
        carrier::connect(carrier, &stage.addresses)?;
    }
    hold(boot.per_process)?;
    assemble(stage, boot)?;
    if let Some(ids) = &stage.ids {
        ids.enter()?;
        // Other ids have cut the tie.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(failed("cannot tie", "the machine to its spawner"))?;
    }
    lock_down(stage)?;
    let null = std::fs::File::open("/dev/null").map_err(failed("cannot open", "/dev/null"))?;
    Ok((signals, null.into()))
}

/// Holds this process, and all that it starts, to what no control group holds them to.
fn hold(limits: PerProcess) -> Result<(), Failure> {
    let set = |resource, value: u64| {
        let limit = Rlimit {
            current: Some(value),
            maximum: Some(value),
        };
        setrlimit(resource, limit).map_err(failed("cannot set", "a limit"))
    };
    if let Some(bytes) = limits.memory {
        // Not of the address space: some runtimes reserve much more than they use.
        set(Resource::Data, bytes)?;
    }
    if let Some(processes) = limits.processes {
        set(Resource::Nproc, processes.into())?;
    }
    if let Some(cpus) = limits.cpus {
        let allowed = rustix::thread::sched_getaffinity(None)
            .map_err(failed("cannot read", "the processors"))?;
        let mut some = rustix::thread::CpuSet::new();
        (0..rustix::thread::CpuSet::MAX_CPU)
            .filter(|cpu| allowed.is_set(*cpu))
            .take(cpus as usize)
            .for_each(|cpu| some.set(cpu));
        rustix::thread::sched_setaffinity(None, &some)
            .map_err(failed("cannot choose", "processors"))?;
    }
    Ok(())
}

/// What holds for every command. This process itself keeps its capabilities, to empty
/// `/run` later; commands get what the bounding set leaves when they are started.
fn lock_down(stage: &Stage) -> Result<(), Failure> {
    rustix::thread::set_no_new_privs(true).map_err(failed("cannot give up", "new privileges"))?;
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if KEPT.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Past the last one that the kernel knows.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(failed("cannot give up", "capabilities")(error)),
        }
    }
    // A dump would be written, or handed to a program, outside the machine.
    let _ = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
    stage
        .filter
        .install()
        .map_err(failed("cannot install", "the filter of system calls"))
}

fn serve(socket: &OwnedFd, signals: &OwnedFd, null: &OwnedFd, files: &NetworkFiles) {
    let mut jobs = Jobs::default();
    // A new machine is as it should be.
    let mut renewed = Some(Ok(()));
    let mut is_last = false;
    loop {
        let mut watched = [
            PollFd::new(socket, PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
        ];
        let timeout = jobs
            .deadline()
            .map(|until| timespec(until.saturating_duration_since(Instant::now())));
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        let (asked, ended) = (
            !watched[0].revents().is_empty(),
            !watched[1].revents().is_empty(),
        );
        if asked {
            match wire::receive(socket.as_fd()) {
                Ok(Some((ToMachine::Exec(exec), fds))) => {
                    let ready = match renewed.take() {
                        Some(ready) => ready,
                        None if jobs.is_empty() => renew(files),
                        None => Ok(()),
                    };
                    is_last = exec.is_last;
                    let started = ready.and_then(|()| start(&mut jobs, &exec, fds, null));
                    let reply = match started {
                        Ok(()) => FromMachine::Started(exec.job),
                        Err(failure) => FromMachine::NotStarted(exec.job, failure),
                    };
                    if wire::send(socket, &reply, &[]).is_err() {
                        return;
                    }
                }
                Ok(Some((ToMachine::Kill(job), _))) => jobs.kill(job),
                _ => return,
            }
        }
        if ended {
            signals::drain(signals);
        }
        if jobs.is_empty() && !ended {
            continue;
        }
        let alone = jobs.reap();
        for (job, end) in jobs.advance(alone) {
            if wire::send(socket, &FromMachine::Ended(job, end), &[]).is_err() {
                return;
            }
        }
        if alone && !is_last && renewed.is_none() {
            // While nobody waits for it.
            renewed = Some(renew(files));
        }
    }
}

/// Makes a machine that has run something as a new one is, as far as that is not frozen.
fn renew(files: &NetworkFiles) -> Result<(), Failure> {
    renew_volatile()?;
    image::renew(files)
}

fn start(jobs: &mut Jobs, exec: &Exec, fds: Vec<OwnedFd>, null: &OwnedFd) -> Result<(), Failure> {
    let outputs: [OwnedFd; 2] = fds.try_into().map_err(|_| Failure {
        cause: "a command came without its outputs".to_owned(),
        errno: None,
        remedy: None,
    })?;
    jobs.start(exec, &outputs, null)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

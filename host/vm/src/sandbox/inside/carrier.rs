//! The program that carries a machine's packets, and its end: it goes with the machine.
//!
//! A process of the spawner's starts it and watches a socket whose other end is the
//! machine's first process alone; when that ends, however it ends, the program is killed.
//! What the program says travels the same way, for the case that it fails.

use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::routes::{self, GATEWAY, RESOLVER};
use crate::sandbox::failure::{Failure, failed};
use crate::sandbox::network::{Carrier, Kind, REMEDY};

/// How long one program may take to connect a machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at whether it has.
const PAUSE: Duration = Duration::from_millis(1);

/// Starts one program after another for the network of a process, until the socket's
/// other end is closed; the next only where one ends by itself.
pub(super) fn run(carriers: &[Carrier], pid: i32, socket: &OwnedFd) {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    for carrier in carriers {
        let Ok(said) = socket.try_clone() else { return };
        let Ok(also) = socket.try_clone() else { return };
        let mut command = Command::new(&carrier.program);
        command
            .args(arguments(carrier.kind, pid))
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::from(said))
            .stderr(Stdio::from(also));
        // SAFETY: one system call between fork and exec.
        unsafe {
            command.pre_exec(|| {
                super::signals::unblock_all();
                Ok(rustix::process::set_parent_process_death_signal(Some(
                    Signal::KILL,
                ))?)
            });
        }
        let Ok(mut child) = command.spawn() else {
            continue;
        };
        if watch(socket, &mut child) {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
    }
}

/// Waits for the end of either; true if it is the machine's.
fn watch(socket: &OwnedFd, child: &mut std::process::Child) -> bool {
    // Beside the socket, as the spawner's own notice of ended children is not inherited.
    let tick = Timespec {
        tv_sec: 0,
        tv_nsec: 100_000_000,
    };
    loop {
        let mut watched = [PollFd::new(socket, PollFlags::empty())];
        match poll(&mut watched, Some(&tick)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            _ => return true,
        }
        if !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
    }
}

fn arguments(kind: Kind, pid: i32) -> Vec<String> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let mut arguments: Vec<String> = match kind {
        Kind::Slirp => texts(&[
            "--configure",
            "--mtu=65520",
            "--disable-host-loopback",
            "--enable-sandbox",
            "--enable-seccomp",
        ]),
        Kind::Pasta => texts(&[
            "--foreground",
            "--quiet",
            "--ipv4-only",
            "--config-net",
            "--ns-ifname",
            routes::DEVICE,
            "--address",
            "10.0.2.100",
            "--netmask",
            "24",
            "--gateway",
            &GATEWAY.to_string(),
            "--dns",
            "none",
            "--dns-forward",
            &RESOLVER.to_string(),
            // Neither the host's loopback nor ports of either side.
            "--no-map-gw",
            "--tcp-ports",
            "none",
            "--udp-ports",
            "none",
            "--tcp-ns",
            "none",
            "--udp-ns",
            "none",
            "--no-dhcp",
            "--no-dhcpv6",
            "--no-ndp",
            "--no-ra",
        ]),
    };
    arguments.push(pid.to_string());
    if kind == Kind::Slirp {
        arguments.push(routes::DEVICE.to_owned());
    }
    arguments
}

/// Waits until this process's network is connected, and closes every way but the one to
/// the internet.
pub(super) fn connect(socket: &OwnedFd, host: &[Ipv4Addr]) -> Result<(), Failure> {
    let until = Instant::now() + PATIENCE;
    while !routes::is_connected() {
        let ended = {
            let mut watched = [PollFd::new(socket, PollFlags::empty())];
            let none = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            poll(&mut watched, Some(&none)).is_ok_and(|count| count > 0)
        };
        if ended || Instant::now() > until {
            return Err(Failure::unavailable(
                format!(
                    "the network `public` cannot be had: {}",
                    reason(socket, ended)
                ),
                REMEDY,
            ));
        }
        std::thread::sleep(PAUSE);
    }
    routes::confine(host).map_err(failed("cannot confine", "the machine's network"))
}

/// What the programs said last.
fn reason(socket: &OwnedFd, ended: bool) -> String {
    let text = socket
        .as_fd()
        .try_clone_to_owned()
        .and_then(|socket| {
            let mut stream = UnixStream::from(socket);
            stream.set_nonblocking(true)?;
            let mut said = vec![0; 4096];
            let length = stream.read(&mut said)?;
            said.truncate(length);
            Ok::<_, io::Error>(String::from_utf8_lossy(&said).into_owned())
        })
        .unwrap_or_default();
    let last: Vec<&str> = text
        .lines()
        .map(str::trim)
        // Noise of a program without a system log.
        .filter(|line| !line.is_empty() && !line.contains("syslog"))
        .collect();
    match (last.last(), ended) {
        (Some(line), _) => (*line).to_owned(),
        (None, true) => "the program that carries it ended at once".to_owned(),
        (None, false) => format!(
            "the program that carries it was not ready in {} s",
            PATIENCE.as_secs()
        ),
    }
}

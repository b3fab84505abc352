//! WASI 0.2, which toolchains drag in: what there is behind it.

use std::mem::forget;

use wasip2::cli::{environment, stdout};
use wasip2::clocks::monotonic_clock;
use wasip2::filesystem::preopens;
use wasip2::random::random;
use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::{instance_network, ip_name_lookup, tcp_create_socket};

/// Bytes that the interface takes at once.
const PIECE: usize = 4096;

/// Uses one thing and returns what came of it.
pub(crate) fn act(what: &str) -> String {
    let (what, rest) = what.split_once(' ').unwrap_or((what, ""));
    let count = rest.parse::<u64>().unwrap_or_default();
    match what {
        "environment" => format!("{:?}", environment::get_environment()),
        "arguments" => format!("{:?}", environment::get_arguments()),
        "folder" => format!("{:?}", environment::initial_cwd()),
        "preopens" => format!("{:?}", preopens::get_directories().len()),
        "socket" => format!(
            "{:?}",
            tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4)
        ),
        "lookup" => {
            let network = instance_network::instance_network();
            format!(
                "{:?}",
                ip_name_lookup::resolve_addresses(&network, rest).map(drop)
            )
        }
        "random" => random::get_random_bytes(count).len().to_string(),
        "printed" => printed(count),
        "streams" => {
            for _ in 0..count {
                forget(stdout::get_stdout());
            }
            "held".into()
        }
        "sleeps" => {
            for _ in 0..count {
                forget(monotonic_clock::subscribe_duration(u64::MAX));
            }
            "held".into()
        }
        other => format!("there is no `{other}`"),
    }
}

/// Prints so many bytes, as fast as it is let.
fn printed(bytes: u64) -> String {
    let stream = stdout::get_stdout();
    let piece = [b'x'; PIECE];
    for _ in 0..bytes / PIECE as u64 {
        if let Err(error) = stream.blocking_write_and_flush(&piece) {
            return format!("{error:?}");
        }
    }
    "printed".into()
}

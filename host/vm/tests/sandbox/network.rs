//! What a machine reaches under each word for its network.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::time::Duration;

use hm_vm::{Network, VmBackend};

use crate::harness::{Bench, Done, host, is_root, passed, run};

/// Set for the process that runs in a network of its own, as the host of its machines.
const INNER: &str = "HM_TEST_NETWORK";

/// How often a server here answers at most.
const ANSWERS: usize = 100;

fn public() -> hm_vm::BootSpec {
    let mut spec = host();
    spec.options.network = Network::Public;
    spec
}

#[expect(
    clippy::print_stderr,
    reason = "a skipped test has to be named where people look"
)]
fn has_carrier(bench: &Bench) -> bool {
    let known = bench.engine.support().networks.contains(&Network::Public);
    let required = std::env::var("HM_TEST_REQUIRE").is_ok_and(|word| word == "all");
    assert!(
        known || !required,
        "slirp4netns or passt is needed: apt-get install slirp4netns"
    );
    if !known {
        eprintln!("skipped: the network `public`: neither slirp4netns nor pasta is installed");
    }
    known
}

#[tokio::test]
async fn a_network_that_cannot_be_had_is_told_with_the_remedy() {
    let bench = Bench::new();
    // An ordinary user may not open the device on every system; root may.
    match bench.engine.boot(public()).await {
        Ok(machine) => machine.destroy().await,
        Err(error) => {
            assert!(!(is_root() && has_carrier(&bench)), "{error}");
            let remedy = error.remedy().expect("a remedy");
            assert!(
                remedy.contains("slirp4netns") && remedy.contains("--network"),
                "{remedy}"
            );
            assert!(error.to_string().contains("public"), "{error}");
        }
    }
}

/// In a network of its own every address can be this process's, public ones included, and
/// nothing of the real host is touched.
#[test]
fn public_is_the_internet_and_nothing_else() {
    if !is_root() || !has_carrier(&Bench::new()) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let resolver = folder.path().join("resolv.conf");
    std::fs::write(&resolver, "nameserver 127.0.0.1\n").expect("a file");
    // Local without being anybody's address: what a machine can reach answers.
    let script = "set -e; ip link set lo up; ip address add 203.0.113.7/32 dev lo; \
         for net in 198.51.100.0/24 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 100.64.0.0/10 168.63.129.16/32; do \
         ip route add local $net dev lo; done; \
                  mount --bind \"$1\" \"$(readlink -f /etc/resolv.conf)\"; exec \"$2\" network::inner --exact --nocapture";
    let done = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", script, "sh"])
        .arg(&resolver)
        .arg(std::env::current_exe().expect("this program"))
        .env(INNER, "1")
        .output()
        .expect("`unshare` runs");
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Not a test of its own: what the one before runs elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inner() {
    if std::env::var_os(INNER).is_none() {
        return;
    }
    let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || greet(&listener));
    let names = UdpSocket::bind("127.0.0.1:53").expect("the port of name servers");
    std::thread::spawn(move || resolve(&names));

    let bench = Bench::new();
    let machine = bench.boot_spec(public()).await;
    let reach = |address: &str, bound: bool| {
        // With the device's name the kernel asks no route.
        let bind = if bound {
            "setsockopt($s,SOL_SOCKET,25,pack(\"a16\",\"tap0\")) or die \"bind $!\";"
        } else {
            ""
        };
        format!(
            "timeout 3 perl -MSocket -e 'socket($s,AF_INET,SOCK_STREAM,0); {bind} \
             connect($s,pack_sockaddr_in({port},inet_aton(\"{address}\"))) or exit 1; print scalar <$s>' 2>&1 || echo no"
        )
    };
    for bound in [false, true] {
        let text = answer(run(&*machine, &reach("198.51.100.5", bound)).await);
        assert_eq!(text, "hello\n", "what is public is reached");
    }
    for address in [
        "127.0.0.1",
        "203.0.113.7",
        "10.0.2.2",
        "10.0.2.3",
        "10.0.2.9",
        "10.1.2.3",
        "172.16.5.5",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
    ] {
        for bound in [false, true] {
            let text = answer(run(&*machine, &reach(address, bound)).await);
            assert_eq!(text, "no\n", "{address}, bound to the device: {bound}");
        }
    }
    let done = run(
        &*machine,
        "getent ahostsv4 a-name.test | head -1 | cut -d' ' -f1; cat /etc/resolv.conf; ls /sys/class/net; \
         ip route add 10.0.0.0/8 dev tap0 2>/dev/null && echo changed; ip neigh flush all 2>/dev/null; \
         cat /proc/net/if_inet6 | grep -c tap0",
    )
    .await;
    assert_eq!(
        done.stdout, "198.51.100.9\nnameserver 10.0.2.3\nlo\ntap0\n0\n",
        "{done:?}"
    );
    let snapshot = machine.snapshot().await.expect("a snapshot");
    // What carried its packets has gone with it.
    let gone = (0..2000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        !carriers_here()
    });
    assert!(gone, "a carrier is left");
    let child = bench.boot_spec(crate::harness::from(&snapshot)).await;
    assert_eq!(
        passed(run(&*child, "cat /etc/resolv.conf").await),
        "nameserver 127.0.0.1\n",
        "the machine's own resolver is no part of what it leaves"
    );
}

fn answer(done: Done) -> String {
    done.stdout
}

/// Whether a carrier runs in this process's network.
fn carriers_here() -> bool {
    let own = std::fs::read_link("/proc/self/ns/net").expect("a network");
    std::fs::read_dir("/proc")
        .expect("a folder")
        .flatten()
        .filter(|entry| {
            std::fs::read_to_string(entry.path().join("comm"))
                .is_ok_and(|name| name.starts_with("slirp4netns") || name.starts_with("pasta"))
        })
        .any(|entry| std::fs::read_link(entry.path().join("ns/net")).is_ok_and(|net| net == own))
}

fn greet(listener: &TcpListener) {
    for stream in listener.incoming().take(ANSWERS).flatten() {
        let mut stream = stream;
        let _ = stream.write_all(b"hello\n");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read(&mut [0; 16]);
    }
}

/// Answers every question for an address with 198.51.100.9.
fn resolve(socket: &UdpSocket) {
    let mut packet = [0_u8; 512];
    for _ in 0..ANSWERS {
        let Ok((length, from)) = socket.recv_from(&mut packet) else {
            return;
        };
        let question = &packet[12..length];
        let Some(end) = question.iter().position(|byte| *byte == 0) else {
            continue;
        };
        let kind = question.get(end + 2).copied();
        let mut reply = packet[..2].to_vec();
        let answers = u8::from(kind == Some(1));
        reply.extend([0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0]);
        reply.extend(&question[..end + 5]);
        if answers == 1 {
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, 9]);
        }
        let _ = socket.send_to(&reply, from);
    }
}

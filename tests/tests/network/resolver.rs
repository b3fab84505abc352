//! Names whose addresses change.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use hm_exec::{HttpGrant, HttpNetwork, Resolver};
use hm_tests::Peer;

use super::addresses::own_address;
use super::embedded::{Ran, run};

/// Answers each look-up with the next set of addresses; the last one stays.
pub struct Scripted {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Scripted {
    pub fn new(answers: &[&[&str]]) -> Arc<Self> {
        let set = |set: &&[&str]| set.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(set).collect()),
            asked: Mutex::default(),
        })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait::async_trait]
impl Resolver for Scripted {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 {
            Ok(answers.pop_front().unwrap())
        } else {
            answers
                .front()
                .cloned()
                .ok_or(io::ErrorKind::NotFound.into())
        }
    }
}

fn grant(pattern: &str, private: &[&str], resolver: Arc<Scripted>) -> HttpGrant {
    HttpGrant {
        patterns: vec![pattern.parse().unwrap()],
        private: private.iter().map(|range| range.parse().unwrap()).collect(),
        network: HttpNetwork::default().resolver(resolver),
        ..HttpGrant::default()
    }
}

const CLOSED: &str = "error ErrorCode::DestinationIpProhibited";

/// A name of somebody else that points here, each time in another way.
#[test]
fn a_name_cannot_be_pointed_at_this_machine() {
    let peer = Peer::fixed("200 OK", "", "reached");
    let url = format!("http://rebind.example:{}/", peer.port());
    for addresses in [
        &["127.0.0.1"][..],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["0.0.0.0"],
        &["169.254.169.254"],
        &["fe80::1"],
        &["10.0.0.1", "127.0.0.1"],
        &["fd00::1", "192.168.1.1"],
    ] {
        let resolver = Scripted::new(&[addresses]);
        let Ran { said, told, .. } =
            run(&[format!("GET {url}")], grant(&url, &[], resolver.clone()));
        assert_eq!(said, [CLOSED], "{addresses:?}");
        assert_eq!(resolver.asked(), 1, "{addresses:?}");
        assert!(told[0].contains(addresses[0]), "{told:?}");
        assert!(told[0].contains("--http-private"), "{told:?}");
    }
    assert_eq!(peer.connections(), 0);
}

/// By the address at which others reach this machine, whatever that is.
#[test]
fn a_name_cannot_be_pointed_at_this_machines_own_network() {
    let Some(own) = own_address() else {
        return hm_tests::cannot("a name of this machine's own address", "it has no network");
    };
    let peer = Peer::fixed("200 OK", "", "reached");
    let url = format!("http://rebind.example:{}/", peer.port());
    let resolver = Scripted::new(&[&[&own.to_string()]]);
    let Ran { said, told, .. } = run(&[format!("GET {url}")], grant(&url, &[], resolver));
    assert_eq!(said, [CLOSED]);
    let closed = [
        "an address that is not public",
        "a private address",
        "an address of this machine",
        "a link-local address",
    ];
    let says = |words: &&str| told[0].contains(&format!("it resolves to {own}, {words}"));
    assert!(closed.iter().any(says), "{told:?}");
    assert_eq!(peer.connections(), 0);
}

/// A zone in which names stand for names, as a stub resolver follows them.
struct Zone {
    aliases: &'static [(&'static str, &'static str)],
    addresses: &'static [(&'static str, &'static str)],
    asked: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl Resolver for Zone {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let of = |table: &[(&'static str, &'static str)], name: &str| {
            let found = table.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| *value)
        };
        let mut name = name.to_owned();
        while let Some(next) = of(self.aliases, &name) {
            name = next.to_owned();
        }
        let address = of(self.addresses, &name).ok_or(io::ErrorKind::NotFound)?;
        Ok(vec![address.parse().unwrap()])
    }
}

/// A granted name that stands for one inside the user's network: what is connected to counts.
#[test]
fn a_name_cannot_stand_for_an_internal_one() {
    let peer = Peer::fixed("200 OK", "", "reached");
    let zone = Arc::new(Zone {
        aliases: &[
            ("api.acme.example", "edge.acme.example"),
            ("edge.acme.example", "vault.corp.internal"),
            ("here.acme.example", "db.corp.internal"),
        ],
        addresses: &[
            ("vault.corp.internal", "10.11.12.13"),
            ("db.corp.internal", "127.0.0.1"),
        ],
        asked: Mutex::default(),
    });
    for (name, address) in [
        ("api.acme.example", "10.11.12.13, a private address"),
        ("here.acme.example", "127.0.0.1, a loopback address"),
    ] {
        let url = format!("http://{name}:{}/", peer.port());
        let grant = HttpGrant {
            patterns: vec![url.parse().unwrap()],
            network: HttpNetwork::default().resolver(zone.clone()),
            ..HttpGrant::default()
        };
        let Ran { said, told, .. } = run(&[format!("GET {url}")], grant);
        assert_eq!(said, [CLOSED], "{name}");
        assert!(
            told[0].contains(&format!("it resolves to {address}")),
            "{told:?}"
        );
    }
    // Each name was looked up once, and no other.
    let asked = zone.asked.lock().unwrap();
    assert_eq!(*asked, ["api.acme.example", "here.acme.example"]);
    assert_eq!(peer.connections(), 0);
}

/// One that was open at the first look-up, and leads elsewhere at the next.
#[test]
fn each_connection_is_judged_by_its_own_look_up() {
    let peer = Peer::fixed("200 OK", "connection: close\r\n", "reached");
    let url = format!("http://rebind.example:{}/", peer.port());
    let resolver = Scripted::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    // Stands for a public address: only this one is open.
    let grant = grant(&url, &["127.0.0.1/32"], resolver.clone());
    let lines = vec![format!("GET {url}"); 3];
    let Ran { said, .. } = run(&lines, grant);
    assert_eq!(said, ["200 7 bytes reached", CLOSED, CLOSED]);
    assert_eq!(peer.connections(), 1);
    // One look-up a connection: nothing is looked up again between judging and connecting.
    assert_eq!(resolver.asked(), 3);
}

/// Of a set that is open in part, only that part is connected to.
#[test]
fn closed_addresses_beside_open_ones_are_never_tried() {
    let peer = Peer::fixed("200 OK", "", "reached");
    let url = format!("http://rebind.example:{}/", peer.port());
    // Nobody listens at the open one, so that a client would go on to the next.
    let resolver = Scripted::new(&[&["127.0.0.9", "127.0.0.1"]]);
    let Ran { said, .. } = run(
        &[format!("GET {url}")],
        grant(&url, &["127.0.0.9"], resolver.clone()),
    );
    assert_eq!(said, ["error ErrorCode::ConnectionRefused"]);
    assert_eq!(peer.connections(), 0);
    assert_eq!(resolver.asked(), 1);
}

/// A connection that was judged is used again without another look-up, and goes nowhere
/// else.
#[test]
fn a_pooled_connection_stays_where_it_was_judged() {
    let peer = Peer::fixed("200 OK", "", "reached");
    let url = format!("http://rebind.example:{}/", peer.port());
    let resolver = Scripted::new(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let Ran { said, .. } = run(
        &vec![format!("GET {url}"); 3],
        grant(&url, &["127.0.0.1"], resolver.clone()),
    );
    assert_eq!(said, ["200 7 bytes reached"; 3]);
    assert_eq!((peer.connections(), resolver.asked()), (1, 1));
}

#[test]
fn a_name_that_is_not_known_is_a_failed_look_up() {
    let resolver = Scripted::new(&[]);
    let Ran { said, told, .. } = run(
        &["GET https://nowhere.example/".into()],
        grant("https://nowhere.example/", &[], resolver),
    );
    assert!(said[0].starts_with("error ErrorCode::Dns"), "{said:?}");
    assert_eq!(told, [""; 0]);
}

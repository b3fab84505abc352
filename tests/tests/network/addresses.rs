//! Addresses that are not public: by their many spellings, and by names that lead there.

use hm_tests::Peer;

use super::{call, grant, said, script};

/// Every spelling of loopback and metadata that some library understands.
fn spellings(port: u16) -> Vec<String> {
    [
        "http://169.254.169.254/",
        "http://localhost:PORT/",
        "http://127.1:PORT/",
        "http://0177.0.0.1:PORT/",
        "http://0x7f000001:PORT/",
        "http://2130706433:PORT/",
        "http://[::1]:PORT/",
        "http://[::ffff:127.0.0.1]:PORT/",
        "http://[64:ff9b::7f00:1]:PORT/",
        "http://[fe80::1%25lo]:PORT/",
        "http://0.0.0.0:PORT/",
        "http://localhost.:PORT/",
        "http://１２７.0.0.1:PORT/",
        "http://127.0.0.1:PORT/",
    ]
    .map(|url| url.replace("PORT", &port.to_string()))
    .into()
}

/// An address by which others reach this machine; none where it has no network.
pub fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent; the kernel only chooses a way.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[test]
fn no_spelling_of_a_private_address_is_reached_without_a_grant() {
    let peer = Peer::fixed("200 OK", "", "reached");
    let mut spellings = spellings(peer.port());
    spellings.extend(own_address().map(|own| format!("http://{own}:{}/", peer.port())));
    let lines: Vec<_> = spellings.iter().map(|url| format!("GET {url}")).collect();
    let (said, _) = said(&lines, &["--http", "https://api.acme.example/"]);
    for (line, said) in lines.iter().zip(&said) {
        assert!(
            ["error ErrorCode::HttpRequestDenied", "bad authority"].contains(&said.as_str()),
            "{line}: {said}"
        );
    }
    assert_eq!(peer.connections(), 0);
}

#[test]
fn a_granted_name_that_leads_to_loopback_is_closed() {
    let peer = Peer::fixed("200 OK", "", "reached");
    let port = peer.port();
    let url = format!("http://localhost:{port}/");
    let project = script(&[format!("GET {url}"), "error no".into()]);
    grant(&project, &["--http", &url]);
    let refused = call(&project).expect(6);
    let build = refused.build();
    // The component learns that it is closed, and not where it leads.
    assert_eq!(
        build.step("a").stdout(),
        ["error ErrorCode::DestinationIpProhibited"]
    );
    assert_eq!(peer.connections(), 0);
    let errors = refused.errors();
    for says in [
        "it resolves to 127.0.0.1, a loopback address",
        "--http-private 127.0.0.1/32",
    ] {
        assert!(errors.contains(says), "{says}: {errors}");
    }
    grant(&project, &["--http-private", "127.0.0.1/32"]);
    project.write(
        ".hm/ci.toml",
        format!("[steps.a]\nimage = \"host\"\nrun = 'GET {url}'"),
    );
    let build = call(&project).expect(0).build();
    assert_eq!(build.step("a").stdout(), ["200 7 bytes reached"]);
}

//! What a component can do to the bytes on the wire: nothing but one well-formed request.

use hm_tests::Peer;

use super::{flags, said, to};

#[test]
fn the_wire_carries_one_well_formed_request_or_nothing() {
    let peer = Peer::fixed("200 OK", "", "ok");
    let port = peer.port();
    let at = format!("http://127.0.0.1:{port}/x");
    let lines = [
        format!("GET {at} | host: evil.example"),
        format!("GET {at} | authority: 127.0.0.1:{port}@evil.example"),
        format!("GET {at} | authority: good.example:80@evil"),
        format!("GET {at} | authority: 127.0.0.1:{port}#@evil.example"),
        format!("GET {at} | authority: 127.0.0.1:"),
        format!("GET {at} | authority: 127.0.0.1:0"),
        format!("GET {at} | authority: "),
        format!("GET {at} | x-a: one\\r\\nx-b: two"),
        format!("GET {at} | x-a: one\\0two"),
        format!("GET {at} | x-a: one\\r\\n folded"),
        format!("POST {at} | body: abc | transfer-encoding: chunked | content-length: 3"),
        format!("POST {at} | body: abc | content-length: 3 | content-length: 5"),
        format!("POST {at} | body: abcde | content-length: +5"),
        format!("GET {at} | path: /a b"),
        format!("GET {at} | path: /a\\r\\nx-injected: 1"),
        format!("GET {at} | path: http://evil.example/"),
        format!("GET / HTTP/1.1\\r\\nX: {at}"),
        format!("GET {at} | upgrade: h2c | connection: upgrade"),
        format!("GET {at} | http2-settings: x"),
        format!("GET {at} | te: trailers"),
        format!("GET {at} | x-forwarded-for: 127.0.0.1"),
    ];
    let (said, _) = said(&lines, &flags(&to(&peer)));
    for (line, said) in lines.iter().zip(&said) {
        assert!(!said.starts_with("200"), "{line}: {said}");
    }
    assert_eq!(peer.requests().len(), 0, "{:?}", peer.requests());
}

/// What the URL's own rules take away is taken away before anything is sent.
#[test]
fn a_fragment_never_reaches_the_server() {
    let peer = Peer::fixed("200 OK", "", "ok");
    let port = peer.port();
    said(
        &[format!("GET http://127.0.0.1:{port}/x | path: /a#b")],
        &flags(&to(&peer)),
    );
    for request in peer.requests() {
        assert_eq!(request.line(), "GET /a HTTP/1.1");
    }
}

#[test]
fn a_body_is_as_long_as_it_says() {
    let peer = Peer::fixed("200 OK", "", "ok");
    let at = format!("http://127.0.0.1:{}/x", peer.port());
    let lines = [
        format!("POST {at} | body: longer than it says | content-length: 4"),
        format!("POST {at} | body: short | content-length: 400"),
        format!("POST {at} | body: exact | content-length: 5"),
    ];
    let (said, _) = said(&lines, &flags(&to(&peer)));
    assert!(said[0].contains("BodySize"), "{said:?}");
    assert!(said[1].contains("BodySize"), "{said:?}");
    assert_eq!(said[2], "200 2 bytes ok");
    let whole: Vec<_> = peer.requests();
    assert_eq!(whole.len(), 1, "{whole:?}");
    assert_eq!(whole[0].body, b"exact");
    // What was broken off was broken off with its connection.
    assert_eq!(whole[0].number, 0);
}

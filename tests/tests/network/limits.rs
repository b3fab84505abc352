//! Servers that send too much, too slowly, or not at all.

use hm_exec::{HttpGrant, Limits};
use hm_tests::{Peer, response};

use super::embedded::{Ran, run_limited};
use super::{flags, said, to};

#[test]
fn heads_that_are_too_large_are_refused() {
    let many = "x-a: b\r\n".repeat(200);
    let peer = Peer::fixed("200 OK", &many, "ok");
    let large = format!("x-a: {}\r\n", "b".repeat(70 << 10));
    let other = Peer::fixed("200 OK", &large, "ok");
    let at = |peer: &Peer| format!("GET http://127.0.0.1:{}/", peer.port());
    let mut words = to(&peer);
    words.extend(to(&other));
    let (said, _) = said(&[at(&peer), at(&other)], &flags(&words));
    for said in said {
        assert!(said.starts_with("error"), "{said}");
    }
}

/// Runs requests to a server with limits that are reached soon.
fn limited(peer: &Peer, limits: Limits, lines: &[&str]) -> Ran {
    let at = format!("http://127.0.0.1:{}/", peer.port());
    let grant = HttpGrant {
        patterns: vec![at.parse().unwrap()],
        ..HttpGrant::default()
    };
    let lines: Vec<_> = lines.iter().map(|line| line.replace("HERE", &at)).collect();
    run_limited(&lines, grant, limits)
}

#[test]
fn what_is_over_a_limit_ends_the_build_by_its_name() {
    let peer = Peer::fixed("200 OK", "", &"x".repeat(5000));
    let large = Limits {
        http_response_bytes: 4999,
        ..Limits::default()
    };
    let many = Limits {
        http_requests: 2,
        ..Limits::default()
    };
    let sent = Limits {
        http_request_bytes: 99,
        ..Limits::default()
    };
    let all = Limits {
        http_bytes: 7000,
        ..Limits::default()
    };
    for (limits, lines, says) in [
        (large, &["GET HERE"][..], "body of an HTTP response 4999"),
        (
            many,
            &["GET HERE", "GET HERE", "GET HERE"],
            "HTTP requests 2",
        ),
        (
            sent,
            &["POST HERE | zeros: 100"],
            "body of an HTTP request 99",
        ),
        (
            all,
            &["GET HERE", "GET HERE"],
            "bodies of all HTTP requests and responses 7000",
        ),
    ] {
        let error = limited(&peer, limits, lines).error.expect(says);
        assert_eq!(error.exit_code(), 8, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        let raised = error.limit().and_then(|limit| limit.raised());
        assert!(
            raised.is_some_and(|raised| raised.starts_with("http-")),
            "{error}"
        );
    }
    // At the limit is not over it.
    let exact = Limits {
        http_response_bytes: 5000,
        http_requests: 1,
        http_held: 1,
        ..Limits::default()
    };
    let ran = limited(&peer, exact, &["GET HERE"]);
    assert!(
        ran.error.is_none() && ran.said[0].starts_with("200"),
        "{:?}",
        ran.said
    );
}

/// A request over the number that may be held waits for its turn.
#[test]
fn one_held_at_a_time_is_enough_for_many() {
    let peer = Peer::fixed("200 OK", "", "x");
    let one = Limits {
        http_held: 1,
        ..Limits::default()
    };
    let ran = limited(&peer, one, &["GET HERE"; 20]);
    assert_eq!(ran.said, vec!["200 1 bytes x"; 20]);
    // All on one connection.
    assert_eq!(peer.connections(), 1);
}

#[test]
fn a_stream_that_falls_silent_is_given_up() {
    let peer = Peer::start(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec());
    let impatient = Limits {
        http_gap: std::time::Duration::from_millis(200),
        ..Limits::default()
    };
    let ran = limited(&peer, impatient, &["GET HERE"]);
    assert_eq!(
        ran.said,
        ["200 3 bytes abc error ErrorCode::ConnectionReadTimeout"]
    );
    let hurried = Limits {
        http_whole: std::time::Duration::from_millis(200),
        ..Limits::default()
    };
    let ran = limited(&peer, hurried, &["GET HERE"]);
    assert_eq!(
        ran.said,
        ["200 3 bytes abc error ErrorCode::HttpResponseTimeout"]
    );
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let pattern = format!("http://127.0.0.1:{port}/");
    let (said, _) = said(
        &[format!("GET {pattern} | first-byte: 200")],
        &["--http", &pattern],
    );
    assert_eq!(said, ["error ErrorCode::HttpResponseTimeout"]);
}

#[test]
fn what_breaks_off_is_no_success() {
    let cut = Peer::start(|_| {
        let mut bytes = response("200 OK", "connection: close\r\n", b"0123456789");
        bytes.truncate(bytes.len() - 3);
        bytes
    });
    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = refused.local_addr().unwrap().port();
    drop(refused);
    let garbage = Peer::start(|_| b"SSH-2.0-whatever\r\n\r\n".to_vec());
    let upgrade = Peer::start(|_| {
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_vec()
    });
    let mut words = to(&garbage);
    words.extend(to(&upgrade));
    words.extend(to(&cut));
    words.extend(["--http".into(), format!("http://127.0.0.1:{gone}/")]);
    let at = |port: u16| format!("GET http://127.0.0.1:{port}/");
    let lines = [
        at(gone),
        at(garbage.port()),
        at(upgrade.port()),
        at(cut.port()),
    ];
    let (said, _) = said(&lines, &flags(&words));
    assert_eq!(said[0], "error ErrorCode::ConnectionRefused");
    for said in &said[1..3] {
        assert!(said.starts_with("error"), "{said}");
    }
    assert_eq!(
        said[3],
        "200 7 bytes 0123456 error ErrorCode::HttpResponseIncomplete"
    );
}

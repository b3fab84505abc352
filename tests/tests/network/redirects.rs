//! Redirects are answers: the component may follow them, and each is judged anew.

use hm_tests::{Peer, response};

use super::said;

#[test]
fn a_redirect_is_not_followed_and_what_follows_is_judged_anew() {
    let other = Peer::fixed("200 OK", "", "other");
    let other_port = other.port();
    let peer = Peer::start(move |head| {
        let status = head.split(['/', ' ']).nth(2).unwrap_or_default().to_owned();
        let to = match head.lines().next().unwrap_or_default() {
            line if line.contains("/other-host") => "https://evil.example/".to_owned(),
            line if line.contains("/loopback") => format!("http://127.0.0.1:{other_port}/"),
            line if line.contains("/name") => format!("http://localhost:{other_port}/"),
            line if line.contains("/encrypted") => "https://127.0.0.1/".to_owned(),
            line if line.contains("/outside") => "/v2/x".to_owned(),
            line if line.contains("/file") => "file:///etc/passwd".to_owned(),
            line if line.contains("/relative") => "//evil.example/".to_owned(),
            line if line.contains("/inside") => "/v1/end".to_owned(),
            line if line.contains("/loop") => "/v1/302/loop".to_owned(),
            _ => return response("200 OK", "", b"end"),
        };
        let status = match status.as_str() {
            "v1" => head.split('/').nth(2).unwrap_or("302").to_owned(),
            _ => "302".to_owned(),
        };
        response(
            &format!("{status} Moved"),
            &format!("location: {to}\r\n"),
            b"",
        )
    });
    let at = |path: &str| format!("http://127.0.0.1:{}/v1/{path}", peer.port());
    let mut lines = Vec::new();
    for status in [301, 302, 307, 308] {
        lines.push(format!("GET {}", at(&format!("{status}/inside"))));
        for to in [
            "other-host",
            "loopback",
            "name",
            "encrypted",
            "outside",
            "file",
            "relative",
        ] {
            lines.push(format!("GET {} | follow: 1", at(&format!("{status}/{to}"))));
        }
    }
    lines.push(format!("GET {} | follow: 1", at("302/inside")));
    lines.push(format!("GET {} | follow: 300", at("302/loop")));
    let (said, _) = said(&lines, &["--http", &at("")]);
    for (line, said) in lines.iter().zip(&said) {
        let expected = if line.contains("302/inside | follow") {
            "302 0 bytes -> 200 3 bytes end"
        } else if line.contains("/loop |") {
            assert_eq!(said.matches("302 0 bytes").count(), 301);
            continue;
        } else if line.contains("inside") {
            "302 0 bytes"
        } else {
            // Refused, or no scheme or path at all.
            let refused = [
                "HttpRequestDenied",
                "HttpProtocolError",
                "bad path",
                "bad authority",
                "bad scheme",
            ];
            assert!(
                refused.iter().any(|word| said.contains(word)),
                "{line}: {said}"
            );
            continue;
        };
        // The status is the server's.
        assert_eq!(said.replacen(&said[..3], "302", 1), expected, "{line}");
    }
    assert_eq!(other.connections(), 0);
    for request in peer.requests() {
        assert!(request.line().starts_with("GET /v1/"), "{}", request.line());
    }
}

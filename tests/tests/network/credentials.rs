//! Credentials: attached by the host where they belong, seen by nobody else.

use std::os::unix::fs::PermissionsExt;

use hm_tests::{Peer, Project};

use super::{call, caller, grant, script};

const CANARY: &str = "CRED-7f3a-not-for-anybodys-eyes";

/// Writes the user's credentials.
fn credentials(project: &Project, mode: u32) {
    let file = project.config().join("credentials.toml");
    std::fs::write(
        &file,
        format!("[http.acme]\nvalue = \"Bearer {CANARY}\"\n[http.key]\nheader = \"x-api-key\"\nvalue = \"{CANARY}\"\n"),
    )
    .unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_credential_is_attached_where_it_belongs_and_shown_nowhere() {
    // A server that tells everybody what it was sent.
    let peer = Peer::start(|head| hm_tests::response("200 OK", "", head.as_bytes()));
    let other = Peer::fixed("200 OK", "", "other");
    let (port, other_port) = (peer.port(), other.port());
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let project = script(&[
        format!("GET {}", at("/v1/with")),
        "notice".into(),
        format!("GET {}", at("/v1/with-again")),
        "log".into(),
        format!("GET {}", at("/v2/without")),
        format!("GET http://127.0.0.1:{other_port}/v1/other"),
        format!("GET {} | authorization: Bearer mine", at("/v1/mine")),
        format!(
            "GET {} | Authorization: a | authorization: b",
            at("/v2/mine")
        ),
        format!("GET {} | cookie: a=b", at("/v1/cookie")),
        format!("GET {} | proxy-authorization: Basic x", at("/v1/proxy")),
        format!(
            "POST {} | body: x | trailer: authorization: Bearer mine",
            at("/v1/trailer")
        ),
    ]);
    credentials(&project, 0o600);
    grant(
        &project,
        &[
            "--http",
            &at("/"),
            "--http",
            &format!("http://127.0.0.1:{other_port}/"),
            "--credential",
            &format!("{}=acme", at("/v1/")),
        ],
    );
    let finished = project
        .run()
        .arg("--backend")
        .arg(caller())
        .arg("-vv")
        .run()
        .expect(0);
    let build = finished.build();
    let said = build.step("a").stdout();
    assert!(said[0].starts_with("200"), "{said:?}");
    // The server's echo was masked on its way to the screen.
    let requests = peer.requests();
    let of = |path: &str| {
        let found = requests
            .iter()
            .find(|request| request.line().contains(path));
        found.map(|request| request.header("authorization").join("; "))
    };
    assert_eq!(of("/v1/with"), Some(format!("Bearer {CANARY}")));
    assert_eq!(of("/v2/without"), Some(String::new()));
    assert_eq!(other.requests()[0].header("authorization"), [""; 0]);
    // In its place the component cannot speak, in heads and in trailers.
    for path in [
        "/v1/mine",
        "/v2/mine",
        "/v1/cookie",
        "/v1/proxy",
        "/v1/trailer",
    ] {
        assert_eq!(of(path), None, "{path}");
    }
    let everything = [
        finished.text(),
        finished.errors(),
        project.everything_kept(),
    ]
    .concat();
    assert!(!everything.contains(CANARY), "the credential was shown");
    assert!(everything.contains("***"));
}

#[test]
fn credentials_that_others_can_read_are_not_used() {
    let peer = Peer::fixed("200 OK", "", "ok");
    let at = format!("http://127.0.0.1:{}/", peer.port());
    let project = script(&[format!("GET {at}")]);
    grant(
        &project,
        &["--http", &at, "--credential", &format!("{at}=acme")],
    );
    call(&project)
        .expect(2)
        .says(&["no credential `acme`", "[http.acme]"]);
    credentials(&project, 0o644);
    call(&project)
        .expect(2)
        .says(&["others may read it", "chmod 600"]);
    credentials(&project, 0o600);
    call(&project).expect(0);
    let file = project.config().join("credentials.toml");
    let moved = project.config().join("moved.toml");
    std::fs::rename(&file, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &file).unwrap();
    call(&project).expect(2);
}

#[test]
fn a_header_of_another_name_is_the_hosts_too() {
    let peer = Peer::fixed("200 OK", "", "ok");
    let at = format!("http://127.0.0.1:{}/", peer.port());
    let project = script(&[
        format!("GET {at}a | authorization: Bearer mine"),
        format!("GET {at}b | X-Api-Key: mine"),
    ]);
    credentials(&project, 0o600);
    grant(
        &project,
        &["--http", &at, "--credential", &format!("{at}=key")],
    );
    let build = call(&project).expect(0).build();
    assert_eq!(
        build.step("a").stdout(),
        ["200 2 bytes ok", "error ErrorCode::HttpRequestDenied"]
    );
    let requests = peer.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("authorization"), ["Bearer mine"]);
    assert_eq!(requests[0].header("x-api-key"), [CANARY]);
}

//! Components that talk to the network: what reaches a server, what a component learns, and
//! what its user is told. The servers are this test's own, on loopback, and remember every
//! byte.

mod addresses;
mod credentials;
mod embedded;
mod framing;
mod limits;
mod machines;
mod policy;
mod redirects;
mod resolver;
mod source;
mod tls;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hm_tests::{Finished, Peer, Project, guest};

fn caller() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| guest("caller", "caller-backend"))
}

/// A project with one step, whose lines the backend acts on.
fn script(lines: &[impl AsRef<str>]) -> Project {
    let lines: Vec<_> = lines.iter().map(AsRef::as_ref).collect();
    Project::toml(&format!(
        "[steps.a]\nimage = \"host\"\nrun = '''\n{}\n'''",
        lines.join("\n")
    ))
}

/// Grants these flags, and the source: the component imports it too.
#[track_caller]
fn grant(project: &Project, flags: &[&str]) {
    project
        .hm(["backend", "grant"])
        .arg(caller())
        .arg("--source")
        .args(flags)
        .run()
        .expect(0);
}

#[track_caller]
fn call(project: &Project) -> Finished {
    project.run().arg("--backend").arg(caller()).run()
}

/// Runs a script with these grants, and returns what each line came to.
#[track_caller]
fn said(lines: &[impl AsRef<str>], flags: &[&str]) -> (Vec<String>, Finished) {
    let project = script(lines);
    grant(&project, flags);
    let finished = call(&project).expect(0);
    let said: Vec<_> = finished
        .build()
        .step("a")
        .stdout()
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(said.len(), lines.len(), "{said:?}");
    (said, finished)
}

/// What is granted for a server of this test.
fn to(peer: &Peer) -> Vec<String> {
    let here = format!("http://127.0.0.1:{}/", peer.port());
    ["--http".into(), here].into()
}

fn flags(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// The real thing, once, from end to end.
#[test]
fn a_request_goes_out_and_its_answer_comes_back() {
    let peer = Peer::fixed("200 OK", "x-own: 1\r\n", "hello");
    let port = peer.port();
    let (said, _) = said(
        &[
            format!("GET http://127.0.0.1:{port}/a?b=c | x-mine: 2"),
            format!("POST http://127.0.0.1:{port}/up | body: some text"),
            format!("PUT http://127.0.0.1:{port}/up | body: abc | content-length: 3"),
        ],
        &flags(&to(&peer)),
    );
    assert_eq!(said, ["200 5 bytes hello"; 3]);
    let requests = peer.requests();
    assert_eq!(requests[0].line(), "GET /a?b=c HTTP/1.1");
    assert_eq!(requests[0].header("host"), [format!("127.0.0.1:{port}")]);
    assert_eq!(requests[0].header("x-mine"), ["2"]);
    // No body is no body, not an empty one in chunks.
    assert!(requests[0].header("transfer-encoding").is_empty());
    assert_eq!(requests[1].body, b"some text");
    assert_eq!(requests[2].body, b"abc");
    assert_eq!(requests[2].header("content-length"), ["3"]);
}

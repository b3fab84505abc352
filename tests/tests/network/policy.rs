//! What is refused, and what the user reads.

use hm_tests::Peer;

use super::{call, caller, flags, grant, said, script, to};

#[test]
fn a_place_that_is_not_granted_is_told_with_the_command_that_grants_it() {
    let peer = Peer::fixed("200 OK", "", "hello");
    let url = format!("http://127.0.0.1:{}/x", peer.port());
    let project = script(&[format!("GET {url}"), "error could not be reached".into()]);
    grant(&project, &["--http", "none"]);
    let finished = call(&project).expect(6).says(&[
        &format!("was refused GET {url}: host not granted"),
        "could not be reached",
        "only if you expected this",
    ]);
    assert_eq!(peer.connections(), 0);
    // Exactly what was printed suffices, and adds to what was granted.
    let errors = finished.errors();
    let command = errors
        .lines()
        .rev()
        .find_map(|line| line.find("hm backend grant").map(|at| line[at..].trim()))
        .unwrap_or_else(|| panic!("no command in\n{errors}"));
    project
        .hm(command.split_whitespace().skip(1))
        .run()
        .expect(0);
    project.write(
        ".hm/ci.toml",
        format!("[steps.a]\nimage = \"host\"\nrun = 'GET {url}'"),
    );
    assert_eq!(
        call(&project).expect(0).build().step("a").stdout(),
        ["200 5 bytes hello"]
    );
    assert_eq!(peer.connections(), 1);
}

/// What a component has of `wasi:http` by itself is bounded: tables of headers, requests, and
/// the words in them.
#[test]
fn tables_of_requests_have_a_limit() {
    for what in ["headers", "copies", "options", "requests"] {
        let project = script(&[format!("hold {what}")]);
        grant(&project, &["--http", "none"]);
        let finished = call(&project)
            .expect(8)
            .says(&["handles to HTTP headers, requests and responses 512"]);
        let held = finished.peak_kib();
        assert!(held < 300 << 10, "{what}: {held} KiB");
    }
    let (said, _) = said(&["hold words"], &["--http", "none"]);
    assert_eq!(said, ["refused: true true true"]);
}

/// WASI 0.2 is there for toolchains that drag it in, and nothing is behind it.
#[test]
fn wasi_0_2_is_inert() {
    let project = script(&[
        "inert environment",
        "inert arguments",
        "inert folder",
        "inert preopens",
        "inert socket",
        "inert lookup localhost",
        "inert random 64",
        "inert streams 100",
        "inert sleeps 100",
        "inert printed 20000000",
    ]);
    grant(&project, &["--http", "none"]);
    let finished = call(&project).expect(0);
    let build = finished.build();
    let said = build.step("a").stdout();
    assert_eq!(said[..4], ["[]", "[]", "None", "0"]);
    for refused in &said[4..6] {
        assert!(refused.starts_with("Err(ErrorCode"), "{said:?}");
    }
    assert_eq!(said[6..], ["64", "held", "held", "printed"]);
    assert!(
        finished.peak_kib() < 300 << 10,
        "{} KiB",
        finished.peak_kib()
    );
    assert!(
        finished.errors().len() < 10 << 20,
        "what is printed has a limit"
    );
    for (line, says) in [
        ("inert random 1000000", "exceeds limit"),
        ("inert streams 1000000", "32768"),
        ("inert sleeps 1000000", "32768"),
    ] {
        let project = script(&[line]);
        grant(&project, &["--http", "none"]);
        let finished = call(&project).expect(8).says(&[says]);
        assert!(
            finished.peak_kib() < 1 << 20,
            "{line}: {} KiB",
            finished.peak_kib()
        );
    }
}

/// The build goes on after a refusal, and a pass stays one.
#[test]
fn a_refusal_alone_fails_nothing() {
    let (said, finished) = said(&["GET https://evil.example/x"], &["--http", "none"]);
    assert_eq!(said, ["error ErrorCode::HttpRequestDenied"]);
    let notices: Vec<_> = finished
        .build()
        .events
        .iter()
        .filter(|event| event["kind"] == "notice")
        .map(|event| event["message"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("https://evil.example/x: host not granted"));
    assert!(notices[0].contains("--http https://evil.example/"));
}

#[test]
fn a_failed_build_with_a_refusal_is_a_matter_of_permission() {
    let project = script(&["GET https://evil.example/x", "fail"]);
    grant(&project, &["--http", "none"]);
    let build = call(&project).expect(6).build();
    assert_eq!(build.exit_code, 6);
    assert_ne!(build.status, "passed");
    // Without one it is a failure like any other.
    let project = script(&["fail"]);
    grant(&project, &["--http", "none"]);
    call(&project).expect(1);
}

#[test]
fn methods_paths_and_ports_are_part_of_a_grant() {
    let peer = Peer::fixed("200 OK", "", "ok");
    let other = Peer::fixed("200 OK", "", "ok");
    let (port, other_port) = (peer.port(), other.port());
    let here = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let pattern = here("/v1/");
    let (said, finished) = said(
        &[
            format!("GET {}", here("/v1/x")),
            format!("GET {}", here("/v10")),
            format!("GET {}", here("/v1/../secret")),
            format!("GET {}", here("/v1/%2e%2e/secret")),
            format!("DELETE {}", here("/v1/x")),
            format!("GET http://127.0.0.1:{other_port}/v1/x"),
            format!("GET https://127.0.0.1:{port}/v1/x"),
            format!("TRACE {}", here("/v1/x")),
            format!("CONNECT {}", here("/v1/x")),
        ],
        &["--http", &pattern, "--http-method", "GET"],
    );
    assert_eq!(said[0], "200 2 bytes ok");
    for line in &said[1..] {
        assert_eq!(line, "error ErrorCode::HttpRequestDenied");
    }
    assert_eq!((peer.connections(), other.connections()), (1, 0));
    let notices = finished.text();
    assert!(notices.contains("--http-method DELETE"), "{notices}");
}

#[test]
fn what_a_component_imports_is_asked_for_by_name() {
    let project = script(&["measure"]);
    let refused = project.run().arg("--backend").arg(caller()).run().expect(6);
    for says in ["source", "http", "--source --http none"] {
        assert!(
            refused.errors().contains(says),
            "{says}: {}",
            refused.errors()
        );
    }
    // A grant for less is not enough, and says what is missing.
    project
        .hm(["backend", "grant"])
        .arg(caller())
        .arg("--source")
        .run()
        .expect(2)
        .says(&["http"]);
    project.run().arg("--backend").arg(caller()).run().expect(6);
}

#[test]
fn the_repository_asks_and_never_grants() {
    let peer = Peer::fixed("200 OK", "", "hello");
    let url = format!("http://127.0.0.1:{}/", peer.port());
    let project = script(&[format!("GET {url}")]);
    let file = caller().display();
    project.write(
        ".hm/config.toml",
        format!("[backends.acme]\nfile = \"{file}\"\nrequest = {{ allow = [\"source\"], http = [\"{url}\"] }}"),
    );
    let refused = project.run().args(["--backend", "acme"]).run().expect(6);
    let errors = refused.errors();
    assert!(
        errors.contains(&format!("{url}  (asked for in")),
        "{errors}"
    );
    let command = errors
        .lines()
        .find_map(|line| line.find("hm backend grant").map(|at| line[at..].trim()))
        .unwrap_or_else(|| panic!("no command in\n{errors}"));
    assert!(
        command.ends_with(&format!("--source --http {url}")),
        "{command}"
    );
    project
        .hm(command.split_whitespace().skip(1))
        .run()
        .expect(0);
    project.run().args(["--backend", "acme"]).run().expect(0);
    assert_eq!(peer.connections(), 1);
    // One that is no pattern is the file's fault.
    project.write(
        ".hm/config.toml",
        format!("[backends.acme]\nfile = \"{file}\"\nrequest = {{ http = [\"*\"] }}"),
    );
    project
        .run()
        .args(["--backend", "acme"])
        .run()
        .expect(2)
        .says(&["config.toml", "`*` is no HTTP pattern"]);
}

#[test]
fn flags_that_mean_nothing_say_what_was_meant() {
    let project = script(&["measure"]);
    for (flags, says) in [
        (
            &["--http", "api.acme.example"][..],
            "https://api.acme.example",
        ),
        (&["--http", "https://*"], "no pattern for every host"),
        (&["--http-private", "10.1.2.3/8"], "10.0.0.0/8"),
        (
            &["--http-private", "169.254.0.0/16"],
            "one address at a time",
        ),
        (&["--http-method", "TRACE"], "cannot be granted"),
        (
            &["--credential", "http://acme.example/=acme"],
            "in the clear",
        ),
    ] {
        project
            .hm(["backend", "grant"])
            .arg(caller())
            .args(flags)
            .run()
            .expect(2)
            .says(&[says]);
    }
}

/// The environment of the process is not the user's configuration.
#[test]
fn no_proxy_comes_from_the_environment() {
    let peer = Peer::fixed("200 OK", "", "direct");
    let proxy = Peer::fixed("200 OK", "", "by proxy");
    let project = script(&[format!("GET http://127.0.0.1:{}/", peer.port())]);
    grant(&project, &flags(&to(&peer)));
    let at = format!("http://127.0.0.1:{}", proxy.port());
    let mut run = project.run().arg("--backend").arg(caller());
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"] {
        run = run.env(name, &at);
    }
    assert_eq!(
        run.run().expect(0).build().step("a").stdout(),
        ["200 6 bytes direct"]
    );
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn a_configured_proxy_is_used_for_what_is_not_here() {
    let proxy = Peer::fixed("200 OK", "", "by proxy");
    let project = script(&[
        "GET http://service.example/x",
        "GET http://direct.invalid/x",
    ]);
    grant(
        &project,
        &[
            "--http",
            "http://service.example/",
            "--http",
            "http://direct.invalid/",
        ],
    );
    let config = project.config().join("config.toml");
    let text = format!(
        "[http]\nproxy = \"http://127.0.0.1:{}\"\nno_proxy = [\".invalid\"]",
        proxy.port()
    );
    std::fs::write(config, text).unwrap();
    let build = call(&project).expect(0).build();
    let said = build.step("a").stdout();
    assert_eq!(said[0], "200 8 bytes by proxy");
    assert!(said[1].starts_with("error ErrorCode::Dns"), "{said:?}");
    let requests = proxy.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].line(), "GET http://service.example/x HTTP/1.1");
}

/// A person sees where it would talk to, who asks for that, and what can be read on the way.
#[test]
fn a_person_is_shown_every_place() {
    let project = script(&["measure"]);
    let file = caller().display();
    project.write(
        ".hm/config.toml",
        format!(
            "[backends.acme]\nfile = \"{file}\"\nrequest = {{ http = [\"http://plain.example/\", \"https://*.acme.example/\"] }}"
        ),
    );
    let mut terminal = project
        .hm(["run", "--backend", "acme"])
        .on_terminal(140, 40);
    terminal.wait_for("anything else for no");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    terminal.type_in(b"once\n");
    let seen = terminal.wait();
    assert_eq!(seen.code, Some(0), "{}", seen.text());
    let text = seen.text();
    for says in [
        "read your source tree",
        "http://plain.example/  (not encrypted)",
        "https://*.acme.example/",
        ".hm/config.toml",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
}

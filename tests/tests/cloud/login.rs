//! Logins: where the token comes from, where it is kept, and that it goes nowhere else.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use hm_fake_cloud::{Config, FakeCloud, Operation};
use hm_tests::{Invocation, Project};

use super::{CHAIN, TOKEN, VERSIONS, assert_well_behaved, echoing, start};

/// Not logged in, and not in CI.
fn stranger(cloud: &FakeCloud) -> Project {
    Project::toml(CHAIN)
        .env_for_all("HM_API_URL", cloud.url())
        .env_for_all("BROWSER", "/nowhere/browser")
}

fn login(project: &Project, token: &str) -> Invocation {
    project
        .hm(["cloud", "login", "--with-token"])
        .stdin(format!("{token}\n"))
}

fn credentials(project: &Project) -> PathBuf {
    project.config().join("credentials.toml")
}

/// Fetches a page as a browser does, and follows where it leads.
fn browse(url: &str) -> String {
    let rest = url.strip_prefix("http://").expect("loopback is plain");
    let (host, path) = rest.split_once('/').expect("pages have paths");
    let mut stream = TcpStream::connect(host).expect("somebody listens");
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let place = page
        .lines()
        .find_map(|line| line.strip_prefix("location: "));
    match place {
        Some(place) => browse(place),
        None => page,
    }
}

#[test]
fn a_token_from_standard_input_is_kept_for_its_origin_and_this_user_alone() {
    let cloud = start(echoing());
    let project = stranger(&cloud);
    project
        .hm(["cloud", "whoami"])
        .run()
        .expect(3)
        .says(&["not logged in", "hm cloud login"]);
    let said = login(&project, TOKEN).run().expect(0);
    assert!(
        said.text().contains("Ada <ada@example.com>"),
        "{}",
        said.said()
    );
    let mode = fs::metadata(credentials(&project))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let said = project
        .hm(["cloud", "whoami", "--format", "json"])
        .run()
        .expect(0);
    let user: serde_json::Value = serde_json::from_str(&said.text()).unwrap();
    assert_eq!(user["email"], "ada@example.com");
    // Another origin is another login.
    let other = start(echoing());
    project
        .hm(["cloud", "whoami"])
        .env("HM_API_URL", other.url())
        .run()
        .expect(3);
    assert!(other.journal().is_empty(), "a token went to another origin");
    let said = project.hm(["cloud", "logout"]).run().expect(0);
    assert!(said.text().contains("logged out"), "{}", said.said());
    project.hm(["cloud", "whoami"]).run().expect(3);
    project.hm(["cloud", "logout"]).run().expect(0);
    assert_well_behaved(&cloud);
}

#[test]
fn a_token_that_opens_nothing_is_not_kept() {
    let cloud = start(echoing());
    let project = stranger(&cloud);
    login(&project, "wrong")
        .run()
        .expect(3)
        .says(&["401 unauthorized"]);
    login(&project, "")
        .run()
        .expect(2)
        .says(&["standard input holds no token"]);
    login(&project, "two words").run().expect(2);
    assert!(!credentials(&project).exists());
}

#[test]
fn what_is_in_the_way_is_not_overwritten() {
    let cloud = start(echoing());
    let project = stranger(&cloud);
    fs::write(credentials(&project), "entries = 7\n").unwrap();
    login(&project, TOKEN)
        .run()
        .expect(2)
        .says(&["credentials.toml", "move it away"]);
    assert_eq!(
        fs::read_to_string(credentials(&project)).unwrap(),
        "entries = 7\n"
    );
}

/// The predecessor's logins stay good, and so do those of other services beside ours.
#[test]
fn credentials_of_the_predecessor_are_read_and_kept() {
    let cloud = start(echoing());
    let project = stranger(&cloud);
    let old = format!(
        "[entries.harmont-cloud]\n\"{}\" = \"{TOKEN}\"\n\"https://other.example\" = \"kept\"\n\n\
         [entries.another]\nx = \"y\"\n",
        cloud.url()
    );
    fs::write(credentials(&project), old).unwrap();
    let said = project.hm(["cloud", "whoami"]).run().expect(0);
    assert!(said.errors().contains("chmod 600"), "{}", said.said());
    project.hm(["cloud", "logout"]).run().expect(0);
    let left = fs::read_to_string(credentials(&project)).unwrap();
    assert!(
        left.contains("kept") && left.contains("another") && !left.contains(TOKEN),
        "{left}"
    );
}

#[test]
fn a_code_is_typed_or_comes_from_a_variable() {
    for versions in VERSIONS {
        let cloud = start(Config {
            versions,
            ..echoing()
        });
        let project = stranger(&cloud);
        let page = browse(&format!("{}/cli-login?paste=true", cloud.url()));
        let code = page
            .lines()
            .find_map(|line| line.strip_prefix("your code: "))
            .unwrap();
        let paste = || project.hm(["cloud", "login", "--paste"]);
        paste().env("HM_LOGIN_CODE", code).run().expect(0);
        project.hm(["cloud", "whoami"]).run().expect(0);
        // Once.
        paste()
            .env("HM_LOGIN_CODE", code)
            .run()
            .expect(5)
            .says(&["invalid, expired, or already used"]);
        let page = browse(&format!("{}/cli-login?paste=true", cloud.url()));
        let code = page
            .lines()
            .find_map(|line| line.strip_prefix("your code: "))
            .unwrap();
        paste()
            .stdin(format!("{code}\n"))
            .run()
            .expect(0)
            .says(&["cli-login?paste=true", "code:"]);
        paste()
            .run()
            .expect(2)
            .says(&["no code was typed", "HM_LOGIN_CODE"]);
        assert_well_behaved(&cloud);
    }
}

#[test]
fn a_browser_logs_in_and_is_sent_back() {
    let cloud = start(echoing());
    let project = stranger(&cloud);
    let login = project.hm(["cloud", "login"]).start();
    login.wait_for_error("/cli-login?port=");
    let said = login.errors();
    let url = said
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("http"))
        .unwrap();
    // What is not the browser's return does not end the login.
    let port = url
        .split("port=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    assert!(browse(&format!("http://127.0.0.1:{port}/favicon.ico")).contains("404"));
    assert!(browse(url).contains("You are logged in"));
    login.wait().expect(0);
    project.hm(["cloud", "whoami"]).run().expect(0);
    assert!(cloud.journal().count(Operation::CliClaim) >= 1);
    assert_well_behaved(&cloud);
}

#[test]
fn a_token_in_the_clear_or_in_a_repository_is_refused() {
    let cloud = start(echoing());
    let project = stranger(&cloud);
    for (url, why) in [
        ("http://api.example", "could read your token"),
        ("https://api.example/api/v0", "more than a host"),
        ("api.example", "no URL"),
    ] {
        let call = project
            .hm(["cloud", "whoami"])
            .env("HM_API_URL", url)
            .env("HM_API_TOKEN", "x");
        call.run().expect(2).says(&[why, "HM_API_URL"]);
    }
    project.write(
        ".hm/config.toml",
        "[cloud]\napi_url = \"https://evil.example\"\n",
    );
    project
        .hm(["cloud", "whoami"])
        .run()
        .expect(2)
        .says(&["a repository may not set `cloud.api_url`"]);
}

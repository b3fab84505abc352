//! What only a daemon can do right or wrong.

use std::io::{Read, Write};
use std::net::TcpListener;

use hm_tests::{Docker, Project};

use crate::{assert_nothing_left, docker, with};

fn one(image: &str, command: &str) -> Project {
    Project::toml(&format!(
        "[steps.one]\nimage = \"{image}\"\nrun = '''{command}'''"
    ))
}

/// `--backend docker` of the predecessor is `local` with that engine.
#[test]
fn the_image_says_what_steps_find() {
    let Some(docker) = docker("an image's environment") else {
        return;
    };
    let command = "echo $GREETING; pwd; echo $HOME; cat .here; id -u; hostname";
    let project = with(
        &docker,
        one(Docker::ODD_IMAGE, command).file(".here", "source\n"),
    );
    let build = project
        .run()
        .args(["--backend", "docker"])
        .run()
        .expect(0)
        .build();
    assert_eq!(
        build.step("one").stdout(),
        [
            "from the image",
            "/workspace",
            "/root",
            "source",
            "0",
            "machine"
        ]
    );
    let contradiction = ["--backend", "docker", "--engine", "sandbox"];
    project
        .run()
        .args(contradiction)
        .run()
        .expect(2)
        .says(&["--engine docker"]);
    assert_nothing_left(&docker, &project);
}

#[test]
fn an_image_that_is_not_there_ends_with_the_registrys_own_words() {
    let Some(docker) = docker("an image that cannot be pulled") else {
        return;
    };
    for (image, said) in [
        ("127.0.0.1:1/no/such-image:v1", "connection refused"),
        ("Upper/Case:Tag", "must be lowercase"),
    ] {
        let project = with(&docker, one(image, "true"));
        let finished = project.run().args(["--engine", "docker"]).run().expect(4);
        finished.says(&[image, said]);
        assert_nothing_left(&docker, &project);
    }
    let project = with(&docker, one("host", "true"));
    let finished = project.run().args(["--engine", "docker"]).run().expect(4);
    finished.says(&["`host`", "--engine sandbox"]);
}

#[test]
fn any_step_key_can_be_cached_and_a_changed_source_shows() {
    let Some(docker) = docker("the cache on docker") else {
        return;
    };
    let text = "image = \"hm-test:busybox\"\n\
        [steps.\"Ünï Code/UPPER:case\"]\nrun = \"cat seen; echo made > made; echo t > /tmp/t\"\ncache = \"forever\"\n\
        [steps.child]\nfrom = \"Ünï Code/UPPER:case\"\nrun = \"cat seen made /tmp/t\"";
    let project = with(&docker, Project::toml(text).file("seen", "first\n"));
    let run = || {
        project
            .run()
            .args(["--engine", "docker"])
            .run()
            .expect(0)
            .build()
    };
    let first = run();
    assert_eq!(first.step("child").stdout(), ["first", "made", "t"]);
    project.write("seen", "second\n");
    let second = run();
    assert!(second.step("Ünï Code/UPPER:case").is_cached);
    assert_eq!(second.step("child").stdout(), ["second", "made", "t"]);
    assert_nothing_left(&docker, &project);
    let list = project.hm(["cache", "list"]).run().expect(0).text();
    assert!(list.contains("docker"), "{list}");
    let cleared = project.hm(["cache", "clear"]).run().expect(0).text();
    assert!(cleared.contains("removed 1 snapshot"), "{cleared}");
    assert_eq!(docker.things_of(project.state()).len(), 0);
}

/// What a step writes to a folder that the image declares a volume is part of what it leaves
/// behind, whether the chain goes on in its machine, is frozen, or comes from the cache.
#[test]
fn declared_volumes_are_part_of_a_chain() {
    let Some(docker) = docker("volumes of an image") else {
        return;
    };
    let text = |cache: &str| {
        format!(
            "image = \"{}\"\n\
             [steps.a]\nrun = \"cat /data/image; echo a > /data/a; rm /data/image\"\n{cache}\n\
             [steps.b]\nfrom = \"a\"\nrun = \"echo b >> /data/a; touch /data/b\"\n{cache}\n\
             [steps.c]\nfrom = \"b\"\nrun = \"ls /data; cat /data/a\"",
            Docker::ODD_IMAGE
        )
    };
    for (cache, runs) in [("", 1), ("cache = \"forever\"", 2)] {
        let project = with(&docker, Project::toml(&text(cache)));
        for _ in 0..runs {
            let build = project
                .run()
                .args(["--engine", "docker"])
                .run()
                .expect(0)
                .build();
            assert_eq!(build.step("c").stdout(), ["a", "b", "a", "b"]);
            assert_nothing_left(&docker, &project);
        }
        project.hm(["cache", "clear"]).run().expect(0);
    }
}

#[test]
fn a_daemon_that_is_not_there_is_told_with_a_remedy() {
    let project = one("any:1", "true").env_for_all("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let finished = project.run().args(["--engine", "docker"]).run().expect(4);
    finished.says(&[
        "unix:///nowhere/docker.sock",
        "no such socket",
        "systemctl start docker",
    ]);
    // Nothing listens on a port that was just given back.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let project =
        one("any:1", "true").env_for_all("DOCKER_HOST", format!("tcp://127.0.0.1:{port}"));
    let finished = project.run().args(["--engine", "docker"]).run().expect(4);
    finished.says(&["nothing listens there"]);
    let project = one("any:1", "true").env_for_all("DOCKER_HOST", "ssh://box");
    let finished = project.run().args(["--engine", "docker"]).run().expect(4);
    finished.says(&["SSH", "ssh -nNT -L"]);
}

/// Answers a few requests as an old daemon does.
fn old_daemon() -> (u16, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let thread = std::thread::spawn(move || {
        let body = r#"{"Version":"1.13.1","ApiVersion":"1.26","MinAPIVersion":"1.12"}"#;
        for _ in 0..200 {
            if let Ok((mut stream, _)) = listener.accept() {
                stream.set_nonblocking(false).unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
    });
    (port, thread)
}

#[test]
fn an_old_daemon_is_told_with_a_remedy() {
    let (port, daemon) = old_daemon();
    let project =
        one("any:1", "true").env_for_all("DOCKER_HOST", format!("tcp://127.0.0.1:{port}"));
    let finished = project.run().args(["--engine", "docker"]).run().expect(4);
    finished.says(&["1.26", "update it to Docker 20.10"]);
    daemon.join().unwrap();
}

#[test]
fn doctor_tells_what_the_engine_can_do() {
    let Some(docker) = docker("the docker section of `hm doctor`") else {
        return;
    };
    let project = with(&docker, Project::new());
    let text = project.hm(["doctor"]).run().text();
    for part in [
        "engine `docker`",
        "version",
        "storage",
        "networks",
        "private addresses",
        "control groups",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert_nothing_left(&docker, &project);
    let project = Project::new().env_for_all("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let text = project.hm(["doctor"]).run().text();
    assert!(text.contains("no such socket"), "{text}");
}

/// What a step leaves running, a timeout, a cancelled build: the daemon keeps nothing.
#[test]
fn every_way_to_end_leaves_nothing() {
    let Some(docker) = docker("ends of builds on docker") else {
        return;
    };
    let text = "image = \"hm-test:busybox\"\n\
        [steps.slow]\nrun = \"echo begun; sleep 60\"\ntimeout = \"1s\"\n\
        [steps.fails]\nrun = \"setsid sleep 60 & exit 3\"\n\
        [steps.cached]\nrun = \"echo x > /opt/x\"\ncache = \"forever\"\n\
        [steps.heir]\nfrom = \"cached\"\nrun = \"cat /opt/x; exit 1\"";
    let sleeps = "image = \"hm-test:busybox\"\n[steps.s]\nrun = \"sleep 60\"";
    let project = Project::toml(text).file(".hm/sleeps.toml", sleeps);
    let project = with(&docker, project);
    let build = project
        .run()
        .args(["ci", "--engine", "docker", "-k", "-j", "4"])
        .run()
        .expect(1)
        .build();
    build.assert_ends(&[
        ("slow", "timed_out", Some(124)),
        ("fails", "failed", Some(3)),
        ("heir", "failed", Some(1)),
    ]);
    assert_nothing_left(&docker, &project);
    project
        .run()
        .args(["sleeps", "--engine", "docker", "--timeout", "1s"])
        .run()
        .expect(124);
    assert_nothing_left(&docker, &project);
}

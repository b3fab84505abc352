//! A reader that goes away.

use std::io::{BufRead, BufReader};

use hm_tests::{Project, assert_nothing_left, hm};

const CHATTY: &str = "image = \"host\"\n[steps.a]\nrun = \"seq 1 100000\"\n[steps.b]\nfrom = \"a\"\nrun = \"echo end\"";

#[test]
fn a_closed_pipe_ends_quietly() {
    for format in ["plain", "json"] {
        let project = Project::toml(CHATTY);
        let mut running = project.hm(["run", "--format", format]).start_unread();
        let mut reader = BufReader::new(running.unread_stdout());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        drop(reader);
        let finished = running.wait();
        assert!(
            finished.code().is_some(),
            "it ends by itself, not by a signal"
        );
        assert!(
            !finished.errors().to_lowercase().contains("broken pipe"),
            "{}",
            finished.errors()
        );
    }
}

#[test]
fn in_front_of_head() {
    let project = Project::toml(CHATTY);
    let script = format!("'{}' run --format plain | head -n 1", hm().display());
    let finished = project
        .program("/bin/sh")
        .args(["-c", &script])
        .run()
        .expect(0);
    assert_eq!(finished.text().lines().count(), 1);
    assert_eq!(finished.errors(), "");
    assert_nothing_left(project.state());
}

#[test]
fn closed_streams_from_the_start() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo one\"");
    for closed in [">&-", "2>&-", ">&- 2>&-", "<&-"] {
        let script = format!("'{}' run --format plain {closed}", hm().display());
        let finished = project.program("/bin/sh").args(["-c", &script]).run();
        assert!(finished.code().is_some(), "{closed}");
    }
    let build = project.run().run().expect(0).build();
    assert_eq!(build.step("a").stdout(), ["one"]);
}

#[test]
fn a_full_device() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"seq 1 100000\"");
    let script = format!("'{}' run --format plain > /dev/full", hm().display());
    let finished = project.program("/bin/sh").args(["-c", &script]).run();
    assert!(
        finished.code().is_some_and(|code| code != 0),
        "{}",
        finished.said()
    );
}

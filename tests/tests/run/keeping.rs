//! `hm cache`: what is kept, and how it goes.

use hm_tests::{Project, assert_nothing_left};
use serde_json::Value;

use crate::build;

/// Two snapshots of some size, one over the other.
const KEPT: &str = r#"
image = "host"
[steps.first]
run = "head -c 300000 /dev/urandom > first"
cache = "forever"
[steps.second]
from = "first"
run = "head -c 300000 /dev/urandom > second; echo up"
cache = "forever"
"#;

#[track_caller]
fn json(project: &Project, args: &[&str]) -> Value {
    let finished = project
        .hm(["cache"])
        .args(args)
        .args(["--format", "json"])
        .run()
        .expect(0);
    serde_json::from_slice(&finished.stdout).unwrap()
}

#[track_caller]
fn kept(project: &Project) -> usize {
    json(project, &["list"])["snapshots"]
        .as_array()
        .unwrap()
        .len()
}

#[test]
fn an_empty_cache_is_listed() {
    let project = Project::new();
    assert_eq!(kept(&project), 0);
    let text = project.hm(["cache", "list"]).run().expect(0).text();
    assert!(text.contains("0 snapshots kept"), "{text}");
    for command in ["clear", "clean", "prune"] {
        let text = project.hm(["cache", command]).run().expect(0).text();
        assert!(text.contains("removed 0 snapshots"), "{text}");
    }
}

#[test]
fn what_is_kept_is_listed_and_cleared() {
    let project = Project::toml(KEPT);
    build(&project, &[], 0);
    let list = json(&project, &["list"]);
    let snapshots = list["snapshots"].as_array().unwrap();
    assert_eq!(snapshots.len(), 2, "{list}");
    for snapshot in snapshots {
        assert!(snapshot["bytes"].as_u64().unwrap() >= 300_000, "{list}");
        assert_eq!(snapshot["key"].as_str().unwrap().len(), 64, "{list}");
        assert_eq!(snapshot["in_use"], false, "{list}");
    }
    let total = list["bytes"].as_u64().unwrap();
    assert!((600_000..900_000).contains(&total), "shared once: {list}");
    let text = project.hm(["cache", "list"]).run().expect(0).text();
    assert!(text.contains("2 snapshots kept"), "{text}");
    let cleared = json(&project, &["clear"]);
    assert_eq!(cleared["removed"], 2, "{cleared}");
    assert_eq!(cleared["in_use"], 0, "{cleared}");
    assert_eq!(kept(&project), 0);
    let layers = std::fs::read_dir(project.state().join("layers/kept")).unwrap();
    assert_eq!(layers.count(), 0, "the files are gone too");
    assert!(!build(&project, &[], 0).step("first").is_cached);
}

#[test]
fn pruning_takes_what_was_used_least_recently() {
    let project = Project::toml(KEPT).file(
        ".hm/other.toml",
        "[steps.only]\nimage = \"host\"\nrun = \"head -c 300000 /dev/urandom > only\"\ncache = \"forever\"",
    );
    build(&project, &["ci"], 0);
    build(&project, &["other"], 0);
    assert_eq!(json(&project, &["prune", "--to", "5GiB"])["removed"], 0);
    let pruned = json(&project, &["prune", "--to", "500KiB"]);
    assert!(pruned["bytes"].as_u64().unwrap() <= 500 << 10, "{pruned}");
    assert_eq!(pruned["removed"], 2, "{pruned}");
    assert!(build(&project, &["other"], 0).step("only").is_cached);
    assert!(!build(&project, &["ci"], 0).step("first").is_cached);
    assert!(json(&project, &["prune", "--to", "0"])["removed"].as_u64() > Some(0));
    assert_eq!(kept(&project), 0);
}

#[test]
fn what_a_running_hm_uses_stays_and_is_told() {
    let project =
        Project::toml(&KEPT.replace("echo up\"\ncache = \"forever\"", "echo up; sleep 600\""));
    let running = project.run().beside_others().start();
    running.wait_for("\"line\":\"up\"");
    let text = project
        .hm(["cache", "clear"])
        .beside_others()
        .run()
        .expect(0)
        .text();
    assert!(
        text.contains("1 snapshot in use by a running hm goes when that ends"),
        "{text}"
    );
    let layers = || {
        std::fs::read_dir(project.state().join("layers/kept"))
            .unwrap()
            .count()
    };
    assert_eq!(layers(), 1, "its files stay");
    running.signal(rustix::process::Signal::INT);
    running.wait().expect(130);
    assert_eq!(kept(&project), 0);
    project.hm(["cache", "clear"]).run().expect(0);
    assert_eq!(layers(), 0);
    assert_nothing_left(project.state());
}

#[test]
fn a_wrong_size_is_a_usage_error() {
    let project = Project::new();
    for size in ["much", "-1", "5 parsecs", ""] {
        project
            .hm(["cache", "prune"])
            .arg(format!("--to={size}"))
            .run()
            .expect(2);
    }
    project.hm(["cache"]).run().expect(2);
}

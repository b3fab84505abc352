//! A registry that is damaged between two runs costs the cache, never the build.

use std::fs;
use std::path::Path;

use hm_tests::{Project, assert_nothing_left};

use crate::build;

const CACHED: &str = "[steps.a]\nimage = \"host\"\nrun = \"echo one > one\"\ncache = \"forever\"";

/// Runs, damages the registry, and runs twice more: the first must pass whatever it finds,
/// the second finds the cache as the first left it. Returns what the first of them said.
#[track_caller]
fn damaged(damage: impl Fn(&Path)) -> String {
    let project = Project::toml(CACHED);
    assert!(!build(&project, &[], 0).step("a").is_cached);
    damage(&project.state().join("registry.sqlite"));
    let finished = project.run().run().expect(0);
    assert_eq!(
        finished.build().step("a").status,
        "passed",
        "nothing is trusted"
    );
    assert!(build(&project, &[], 0).step("a").is_cached, "it is rebuilt");
    project.hm(["cache", "clear"]).run().expect(0);
    let kept = fs::read_dir(project.state().join("layers/kept")).unwrap();
    assert_eq!(kept.count(), 0, "layers of the lost registry are gone too");
    assert_nothing_left(project.state());
    finished.errors()
}

fn part(registry: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = registry.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn without_log(registry: &Path) {
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(part(registry, suffix));
    }
}

#[test]
fn garbage_is_set_aside_and_told() {
    let said = damaged(|registry| {
        fs::write(registry, [0x5a; 20_000]).unwrap();
        without_log(registry);
    });
    assert!(said.contains("set aside"), "{said}");
}

#[test]
fn a_folder_in_its_place_is_set_aside_and_told() {
    let said = damaged(|registry| {
        fs::remove_file(registry).unwrap();
        without_log(registry);
        fs::create_dir(registry).unwrap();
    });
    assert!(said.contains("set aside"), "{said}");
}

#[test]
fn one_that_was_cut_off_starts_over() {
    damaged(|registry| {
        without_log(registry);
        let file = fs::OpenOptions::new().write(true).open(registry).unwrap();
        file.set_len(100).unwrap();
    });
}

#[test]
fn one_without_its_log_starts_over() {
    damaged(without_log);
}

#[test]
fn one_that_is_empty_or_gone_starts_over() {
    damaged(|registry| {
        fs::write(registry, "").unwrap();
        without_log(registry);
    });
    damaged(|registry| {
        fs::remove_file(registry).unwrap();
        without_log(registry);
    });
}

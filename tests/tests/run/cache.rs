//! What the cache may serve, and what not.

use hm_tests::{Build, Project};

use crate::build;

fn cached(command: &str) -> String {
    format!(
        "image = \"host\"\n[steps.tool]\nrun = \"{command}\"\ncache = \"forever\"\n\
         [steps.use]\nfrom = \"tool\"\nrun = \"cat tool file\"",
    )
}

/// Runs, and returns whether `tool` came from the cache.
#[track_caller]
fn is_hit(project: &Project, flags: &[&str]) -> (bool, Build) {
    let build = build(project, flags, 0);
    let tool = build.step("tool");
    assert_eq!(tool.is_cached, tool.status == "cache_hit");
    assert_eq!(tool.exit_code, Some(0));
    assert_eq!(tool.is_cached, tool.started.is_none(), "a hit runs nothing");
    (tool.is_cached, build)
}

#[test]
fn the_same_step_is_served_the_second_time() {
    let project = Project::toml(&cached("echo one > tool")).file("file", "f\n");
    assert!(!is_hit(&project, &[]).0);
    let (hit, build) = is_hit(&project, &[]);
    assert!(hit);
    assert_eq!(
        build.step("use").stdout(),
        ["one", "f"],
        "what it left is there"
    );
    assert_eq!(build.step("tool").lines, []);
}

#[test]
fn another_command_misses() {
    let project = Project::toml(&cached("echo one > tool")).file("file", "f\n");
    assert!(!is_hit(&project, &[]).0);
    project.write(".hm/ci.toml", cached("echo two > tool"));
    let (hit, build) = is_hit(&project, &[]);
    assert!(!hit);
    assert_eq!(build.step("use").stdout(), ["two", "f"]);
    project.write(".hm/ci.toml", cached("echo one > tool"));
    assert!(is_hit(&project, &[]).0, "the first is still there");
}

#[test]
fn another_environment_misses() {
    let project = Project::toml(&cached("echo $WHO > tool")).file("file", "f\n");
    assert!(!is_hit(&project, &["-e", "WHO=me"]).0);
    assert!(is_hit(&project, &["-e", "WHO=me"]).0);
    let (hit, build) = is_hit(&project, &["-e", "WHO=you"]);
    assert!(!hit);
    assert_eq!(build.step("use").stdout(), ["you", "f"]);
}

/// The author's policy says which files matter; the rest of the tree is today's.
#[test]
fn children_of_a_hit_see_todays_source() {
    let project = Project::toml(&cached("echo one > tool")).file("file", "before\n");
    assert!(!is_hit(&project, &[]).0);
    project.write("file", "after\n");
    let (hit, build) = is_hit(&project, &[]);
    assert!(hit);
    assert_eq!(build.step("use").stdout(), ["one", "after"]);
}

#[test]
fn a_watched_file_misses() {
    let project = Project::toml(
        "[steps.tool]\nimage = \"host\"\nrun = \"cp lock tool\"\ncache = { on_change = [\"lock\"] }\n\
         [steps.use]\nfrom = \"tool\"\nrun = \"cat tool\"",
    )
    .file("lock", "1\n");
    assert!(!is_hit(&project, &[]).0);
    assert!(is_hit(&project, &[]).0);
    project.write("lock", "2\n");
    let (hit, build) = is_hit(&project, &[]);
    assert!(!hit);
    assert_eq!(build.step("use").stdout(), ["2"]);
}

#[test]
fn no_cache_neither_uses_nor_keeps() {
    let project = Project::toml(&cached("echo one > tool")).file("file", "f\n");
    assert!(!is_hit(&project, &["--no-cache"]).0);
    assert!(!is_hit(&project, &[]).0, "nothing was kept");
    assert!(!is_hit(&project, &["--no-cache"]).0, "nothing is used");
    assert!(is_hit(&project, &[]).0);
}

#[test]
fn a_failed_step_is_never_kept() {
    let project = Project::toml(
        "[steps.tool]\nimage = \"host\"\nrun = \"test -e ok\"\ncache = \"forever\"\n[steps.use]\nfrom = \"tool\"\nrun = \"true\"",
    );
    build(&project, &[], 1);
    build(&project, &[], 1);
    project.write("ok", "");
    assert!(!is_hit(&project, &[]).0);
    assert!(is_hit(&project, &[]).0);
}

#[test]
fn another_repository_has_a_cache_of_its_own() {
    let mine = Project::toml(&cached("echo one > tool")).file("file", "f\n");
    let theirs = Project::toml(&cached("echo one > tool"))
        .file("file", "f\n")
        .env_for_all("HM_STATE_DIR", mine.state());
    assert!(!is_hit(&mine, &[]).0);
    assert!(!is_hit(&theirs, &[]).0);
    assert!(is_hit(&mine, &[]).0 && is_hit(&theirs, &[]).0);
}

//! `hm backend`, and the consent that a stranger's component needs.

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{TWO_STEPS, World};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn world() -> World {
    World::new().with(".hm/ci.toml", TWO_STEPS)
}

#[test]
fn what_is_built_in_can_be_inspected_like_any_other() {
    let ran = world().hm(&["backend", "inspect", "local"]).ended(0);
    assert!(
        ran.out.contains("asks for  vm: start machines"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("hm:backend/vm@") && ran.out.contains("sha256:"),
        "{}",
        ran.out
    );
}

#[test]
fn a_grant_is_given_listed_and_taken_back() {
    let world = world();
    world
        .hm(&["backend", "grant", DIGEST, "--vm", "--vm-network", "host"])
        .ended(0);
    let file = world.path().join("config/grants.toml");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let ran = world.hm(&["backend", "list"]).ended(0);
    insta::assert_snapshot!(world.plain(&ran.out), @r"
    local     built in: runs the steps on this machine
    cloud     built in: runs the steps in Harmont's cloud

    grants
    sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
      name     0123456789ab
      allowed  vm
      engine   sandbox
      images   plan
      network  host
      in       /world/project
    ");
    assert_eq!(world.hm(&["plugin", "list"]).ended(0).out, ran.out);
    world
        .hm(&["backend", "grant", DIGEST, "--any-repo"])
        .ended(0);
    let ran = world.hm(&["backend", "list"]).ended(0);
    assert!(
        ran.out.contains("every repository") && !ran.out.contains("allowed  vm"),
        "{}",
        ran.out
    );
    world.hm(&["backend", "revoke", DIGEST]).ended(0);
    world.hm(&["backend", "revoke", DIGEST]).ended(2);
}

#[test]
fn a_grant_needs_a_whole_digest_and_a_repository() {
    let world = World::new();
    let ran = world.hm(&["backend", "grant", DIGEST, "--vm"]).ended(2);
    assert!(ran.err.contains("--any-repo"), "{}", ran.err);
    world.hm(&["backend", "grant", "sha256:0123"]).ended(2);
    world.hm(&["backend", "grant", "nowhere.wasm"]).ended(2);
    world.hm(&["backend", "grant", "local"]).ended(2);
}

#[test]
fn grants_that_others_could_have_written_or_that_hm_cannot_read_are_not_used() {
    let world = world();
    world.hm(&["backend", "grant", DIGEST]).ended(0);
    let file = world.path().join("config/grants.toml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let ran = world.hm(&["backend", "list"]).ended(2);
    assert!(ran.err.contains("written by everybody"), "{}", ran.err);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    world.write(
        "config/grants.toml",
        &format!("{text}\nonly_on_mondays = true\n"),
    );
    let ran = world.hm(&["backend", "list"]).ended(2);
    assert!(ran.err.contains("only_on_mondays"), "{}", ran.err);
}

#[test]
fn files_that_are_no_backends_are_told_by_what_they_are() {
    let world = world()
        .with("text.wasm", "(module)")
        .with("core.wasm", "\0asm\u{1}\0\0\0")
        .with("none.wasm", "hello");
    for (file, what) in [
        ("text.wasm", "WebAssembly text"),
        ("core.wasm", "a core module"),
        ("none.wasm", "no WebAssembly"),
    ] {
        let ran = world.hm(&["run", "--backend", file]).ended(8);
        assert!(ran.err.contains(what), "{}", ran.err);
    }
    world.hm(&["run", "--backend", "missing.wasm"]).ended(2);
}

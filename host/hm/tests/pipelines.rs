//! `hm pipelines` and `hm render`.

mod common;

use common::{TWO_STEPS, World};
use serde_json::Value;

#[test]
fn without_a_folder_the_envelope_is_empty() {
    let ran = World::new().hm(&["pipelines"]).ended(0);
    let envelope: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(envelope["schema_version"], "1");
    assert_eq!(envelope["pipelines"].as_array().unwrap().len(), 0);
}

#[test]
fn all_pipelines_are_in_the_envelope_and_a_broken_one_is_a_warning() {
    let world = World::new()
        .with(".hm/ci.toml", TWO_STEPS)
        .with(".hm/bad.toml", "steps = 3");
    let ran = world.hm(&["pipelines"]).ended(0);
    let envelope: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(envelope["pipelines"][0]["slug"], "ci");
    assert!(
        ran.err.starts_with("warning: ") && ran.err.contains("bad.toml"),
        "{}",
        ran.err
    );
}

#[test]
fn a_pipeline_is_rendered_from_a_subfolder_too() {
    let world = World::new()
        .with(".hm/ci.toml", TWO_STEPS)
        .with("deep/down/file", "");
    let ran = world.hm(&["render", "ci", "-d", "deep/down"]).ended(0);
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(document["version"], "0");
    assert_eq!(
        document["graph"]["nodes"][0]["step"]["cmd"],
        "echo built > out"
    );
    assert_eq!(ran.err, "");
}

#[test]
fn what_is_rendered_can_be_read_again() {
    let world = World::new().with(".hm/ci.toml", TWO_STEPS);
    let first = world.hm(&["render", "ci"]).ended(0).out;
    let world = world.with("ci.json", &first);
    let second = world.hm(&["render", "--file", "ci.json"]).ended(0).out;
    let (first, second): (Value, Value) = (
        serde_json::from_str(&first).unwrap(),
        serde_json::from_str(&second).unwrap(),
    );
    assert_eq!(first["graph"], second["graph"]);
}

#[test]
fn the_choice_is_told_where_it_is_not_clear() {
    let world = World::new()
        .with(".hm/ci.toml", TWO_STEPS)
        .with(".hm/release.toml", TWO_STEPS);
    let ran = world.hm(&["render"]).ended(2);
    assert!(
        ran.err.contains("ci") && ran.err.contains("release"),
        "{}",
        ran.err
    );
    let ran = world.hm(&["render", "relase"]).ended(2);
    assert!(ran.err.contains("release"), "{}", ran.err);
    World::new().hm(&["render"]).ended(2);
}

#[test]
fn a_broken_document_is_told_with_its_place() {
    let world = World::new().with(".hm/ci.toml", "[steps.a]\nrn = \"x\"\n");
    let ran = world.hm(&["render"]).ended(7);
    assert!(
        ran.err.contains("ci.toml:2:") && ran.err.contains("run"),
        "{}",
        ran.err
    );
}

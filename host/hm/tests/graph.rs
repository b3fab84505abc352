//! `hm graph`.

mod common;

use common::World;

const DIAMOND: &str = r#"
image = "host"
[steps.base]
run = "true"
[steps.left]
from = "base"
run = "true"
[steps.right]
from = "base"
run = "true"
[steps.join]
from = "left"
needs = ["right"]
run = "true"
[steps.alone]
run = "true"
"#;

#[test]
fn a_tree_shows_each_step_once() {
    let ran = World::new()
        .with(".hm/ci.toml", DIAMOND)
        .hm(&["graph"])
        .ended(0);
    let keys: Vec<_> = ran.out.lines().collect();
    assert_eq!(keys.len(), 5, "{}", ran.out);
    for key in ["base", "left", "right", "join", "alone"] {
        assert!(keys.iter().any(|line| line.contains(key)), "{}", ran.out);
    }
}

#[test]
fn dot_tells_what_is_built_on_from_what_is_waited_for() {
    let ran = World::new()
        .with(".hm/ci.toml", DIAMOND)
        .hm(&["graph", "ci", "--format", "dot"])
        .ended(0);
    assert!(ran.out.starts_with("digraph"), "{}", ran.out);
    assert_eq!(ran.out.matches(" -> ").count(), 4);
}

#[test]
fn a_long_chain_is_drawn() {
    let mut text = String::from("image = \"host\"\n[steps.s0]\nrun = \"true\"\n");
    for step in 1..3000 {
        text += &format!(
            "[steps.s{step}]\nfrom = \"s{}\"\nrun = \"true\"\n",
            step - 1
        );
    }
    let ran = World::new()
        .with(".hm/ci.toml", &text)
        .hm(&["graph"])
        .ended(0);
    assert_eq!(ran.out.lines().count(), 3000);
    assert!(ran.out.lines().all(|line| line.chars().count() <= 120));
}

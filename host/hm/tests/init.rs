//! `hm init`.

mod common;

use common::World;

#[test]
fn every_kind_of_project_is_recognised_and_gets_a_pipeline_that_is_in_order() {
    let kinds = [
        ("Cargo.toml", "", "cargo test"),
        ("go.mod", "", "go test ./..."),
        ("mix.exs", "", "mix test"),
        ("build.zig", "b.step(\"test\", \"\")", "zig build test"),
        ("pyproject.toml", "", "python3 -m unittest discover"),
        ("package.json", "{}", "npm install"),
        ("CMakeLists.txt", "", "ctest"),
        ("Makefile", "all:\n\ncheck: all\n", "make check"),
        ("readme", "", "Hello"),
    ];
    for (file, text, expected) in kinds {
        let world = World::new().with(file, text);
        let ran = world.hm(&["init"]).ended(0);
        assert!(ran.err.contains("hm run"), "{}", ran.err);
        let pipeline = world.read(".hm/ci.toml");
        assert!(
            pipeline.contains("image = \"host\"") && pipeline.contains(expected),
            "{file}:\n{pipeline}"
        );
        assert!(world.read(".hm/.gitignore").contains("__pycache__/"));
        let ran = world.hm(&["run", "--dry-run"]).ended(0);
        assert!(ran.out.starts_with("pipeline ci "), "{file}: {}", ran.out);
    }
}

#[test]
fn lock_files_and_targets_decide_the_commands() {
    let world = World::new()
        .with("package.json", "{}")
        .with("package-lock.json", "{}");
    world.hm(&["init"]).ended(0);
    assert!(world.read(".hm/ci.toml").contains("npm ci"));
    let world = World::new().with("Makefile", "all:\ntest := x\n");
    world.hm(&["init"]).ended(0);
    assert!(!world.read(".hm/ci.toml").contains("make test"));
}

#[test]
fn a_template_wins_over_what_the_folder_looks_like() {
    let world = World::new().with("Cargo.toml", "");
    world.hm(&["init", "-t", "go"]).ended(0);
    assert!(world.read(".hm/ci.toml").contains("go build"));
    world.hm(&["init", "-t", "nextjs", "--force"]).ended(0);
    assert!(world.read(".hm/ci.toml").contains("npm"));
    world.hm(&["init", "-t", "cobol"]).ended(2);
}

#[test]
fn a_pipeline_that_is_there_is_left_alone_without_force() {
    let world = World::new().with(".hm/ci.toml", "mine");
    let ran = world.hm(&["init"]).ended(0);
    assert!(
        ran.err.contains("left alone") && ran.err.contains("--force"),
        "{}",
        ran.err
    );
    assert_eq!(world.read(".hm/ci.toml"), "mine");
    world.hm(&["init", "--force"]).ended(0);
    assert_ne!(world.read(".hm/ci.toml"), "mine");

    let world = World::new().with(".hm/release.py", "");
    world.hm(&["init"]).ended(0);
    assert!(!world.project().join(".hm/ci.toml").exists());
}

#[test]
fn another_folder_can_be_named() {
    let world = World::new().with("sub/go.mod", "");
    let ran = world.hm(&["init", "-d", "sub"]).ended(0);
    assert!(
        ran.err.contains("sub/.hm/ci.toml") && ran.err.contains("hm run -d sub"),
        "{}",
        ran.err
    );
    world.hm(&["init", "-d", "nowhere"]).ended(2);
}

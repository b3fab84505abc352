//! `hm version`, `hm --version`, and `hm` alone.

mod common;

use common::World;

#[test]
fn the_version_is_data_on_standard_output() {
    let world = World::new();
    for arguments in [["version"], ["--version"], ["-V"]] {
        let ran = world.hm(&arguments).ended(0);
        assert_eq!(ran.out, concat!("hm ", env!("CARGO_PKG_VERSION"), "\n"));
        assert_eq!(ran.err, "");
    }
}

#[test]
fn the_version_needs_no_home() {
    let world = World::new();
    let output = world.command(&["version"]).env_clear().output().unwrap();
    assert!(output.status.success());
}

#[test]
fn without_a_command_there_is_help() {
    let ran = World::new().hm(&[]).ended(0);
    for word in ["run", "init", "doctor", "Exit codes"] {
        assert!(ran.out.contains(word), "{}", ran.out);
    }
}

#[test]
fn help_promises_nothing_that_is_not_there() {
    let ran = World::new().hm(&["run", "--help"]).ended(0);
    for absent in ["--logs", "--parallelism"] {
        assert!(!ran.out.contains(absent), "{absent} in\n{}", ran.out);
    }
    for present in [
        "docker:", "none:", "public:", "host:", "--report", "github:",
    ] {
        assert!(ran.out.contains(present), "no {present} in\n{}", ran.out);
    }
}

#[test]
fn an_unknown_command_or_flag_is_a_usage_error_with_the_nearest() {
    let world = World::new();
    let ran = world.hm(&["rum"]).ended(2);
    assert!(ran.err.contains("'run'"), "{}", ran.err);
    let ran = world.hm(&["run", "--keep-goin"]).ended(2);
    assert!(ran.err.contains("--keep-going"), "{}", ran.err);
}

//! `hm run` to its verdict, on real machines. Where this system gives none, `hm doctor`
//! says so, and these tests have nothing to tell.
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

mod common;

use std::process::Stdio;

use common::{TWO_STEPS, World};
use serde_json::Value;

/// A project, if machines can be had here.
fn world(pipeline: &str) -> Option<World> {
    let world = World::new().with(".hm/ci.toml", pipeline);
    if world.hm(&["doctor"]).code == 4 {
        eprintln!("skipped: `hm doctor` finds no machines here");
        return None;
    }
    Some(world)
}

fn kinds(json: &str) -> Vec<String> {
    json.lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["kind"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

#[test]
fn a_pipeline_passes_and_leaves_a_record() {
    let Some(world) = world(TWO_STEPS) else {
        return;
    };
    let ran = world.hm(&["run", "--format", "json"]).ended(0);
    let kinds = kinds(&ran.out);
    assert_eq!(kinds.first().map(String::as_str), Some("build_start"));
    assert_eq!(kinds.last().map(String::as_str), Some("build_end"));
    assert_eq!(kinds.iter().filter(|kind| *kind == "step_end").count(), 2);
    assert_eq!(ran.err, "");

    let runs = world.hm(&["runs"]).ended(0);
    assert_eq!(runs.out.lines().count(), 1);
    assert!(runs.out.contains("passed"), "{}", runs.out);
    assert_eq!(world.hm(&["logs", "last", "test"]).ended(0).out, "built\n");
    let id = runs.out.split_whitespace().next().unwrap();
    let all = world.hm(&["logs", id]).ended(0);
    assert!(all.out.contains("[test] built"), "{}", all.out);
    let record = world
        .path()
        .join("state/runs")
        .join(id)
        .join("events.jsonl");
    assert_eq!(std::fs::read_to_string(record).unwrap(), ran.out);
    let near = world.hm(&["logs", id, "tset"]).ended(2);
    assert!(near.err.contains("did you mean `test`?"), "{}", near.err);
}

#[test]
fn a_failure_is_exit_1_and_is_told_in_every_format() {
    let Some(world) = world("image = \"host\"\n[steps.bad]\nrun = \"echo broken; exit 3\"\n")
    else {
        return;
    };
    let plain = world.hm(&["run"]).ended(1);
    assert!(plain.out.contains("[bad] broken"), "{}", plain.out);
    let human = world.hm(&["run", "--format", "human"]).ended(1);
    assert_eq!(human.out, "");
    assert!(
        human.err.contains("broken") && human.err.contains("exit 3"),
        "{}",
        human.err
    );
}

#[test]
fn variables_reach_steps_and_the_later_one_wins() {
    let pipeline = "image = \"host\"\nenv = { A = \"pipeline\", B = \"pipeline\", C = \"pipeline\", D = \"pipeline\" }\n\
        [steps.show]\nenv = { B = \"step\", C = \"step\", D = \"step\" }\nrun = \"echo $A $B $C $D\"\n";
    let Some(world) = world(pipeline) else { return };
    let world = world.with("vars", "C=file\nD=file\n");
    let ran = world
        .hm(&["run", "--env-file", "vars", "-e", "D=flag"])
        .ended(0);
    assert!(
        ran.out.contains("[show] pipeline step file flag"),
        "{}",
        ran.out
    );
}

#[test]
fn an_image_that_is_not_there_is_exit_4_with_the_way_out() {
    let Some(world) = world("image = \"elsewhere:1\"\n[steps.a]\nrun = \"true\"\n") else {
        return;
    };
    let ran = world.hm(&["run"]).ended(4);
    assert!(
        ran.err.contains("elsewhere:1") && ran.err.contains("--image"),
        "{}",
        ran.err
    );
    world.hm(&["run", "--image", "else*=host"]).ended(0);
    world.write(
        "config/config.toml",
        "[images]\n\"*:1\" = \"host\"\n\"*\" = \"other\"\n",
    );
    world.hm(&["run"]).ended(0);
}

#[test]
fn it_works_from_a_subfolder_and_with_a_timeout() {
    let Some(world) = world("image = \"host\"\n[steps.a]\nrun = \"sleep 60\"\n") else {
        return;
    };
    let world = world.with("sub/file", "");
    let output = world
        .command(&["run", "--timeout", "200ms", "-d", "sub"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(124));
}

#[test]
fn a_reader_that_goes_away_ends_the_build_without_a_word() {
    let Some(world) =
        world("image = \"host\"\n[steps.a]\nrun = \"while :; do echo on and on; done\"\n")
    else {
        return;
    };
    let mut child = world
        .command(&["run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 64];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_signal_cancels_the_build_and_leaves_no_machine() {
    let Some(world) = world("image = \"host\"\n[steps.a]\nrun = \"echo up; sleep 60\"\n") else {
        return;
    };
    let mut child = world
        .command(&["run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("[a] up") {
        let mut byte = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut byte).unwrap();
        seen.push(byte[0]);
    }
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cancelling"),
        "{output:?}"
    );
    let machines = world.path().join("state/machines");
    assert_eq!(std::fs::read_dir(machines).unwrap().count(), 0);
    assert!(world.hm(&["runs"]).ended(0).out.contains("cancelled"));
}

//! Every sample that can run gives the same on both engines: verdict, statuses, step keys,
//! what steps print, and the files that its chains leave behind.

use std::collections::BTreeMap;
use std::time::Duration;

use hm_tests::{Build, Docker, Project, samples};
use serde_json::{Value, json};

use crate::{assert_nothing_left, docker, with};

/// Lists all files of the working folder with mode, kind and contents.
const LOOK: &str = "find . | LC_ALL=C sort | while read -r path; do \
    stat -c '%n %F %a' \"$path\"; test -f \"$path\" && md5sum < \"$path\"; \
    test -h \"$path\" && readlink \"$path\"; done; true";

/// For samples of hundreds of steps, each a third of a second on an idle machine.
const LONG: Duration = Duration::from_secs(900);

/// What is compared of a step: status, exit code, standard output.
type Seen = BTreeMap<String, (String, Option<i64>, Vec<String>)>;

/// Puts a step behind the end of every chain that looks at what is there.
fn with_looks(text: &[u8]) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(text).expect("samples are JSON");
    let graphs: Vec<&mut Value> = match document.get("pipelines") {
        Some(_) => document["pipelines"]
            .as_array_mut()
            .expect("a list")
            .iter_mut()
            .map(|pipeline| &mut pipeline["definition"]["graph"])
            .collect(),
        None => vec![&mut document["graph"]],
    };
    for graph in graphs {
        let count = graph["nodes"].as_array().expect("a list").len();
        let is_parent = |node: usize| {
            let edges = graph["edges"].as_array().expect("a list");
            edges
                .iter()
                .any(|edge| edge[0] == node && edge[2] == "builds_in")
        };
        let ends: Vec<usize> = (0..count).filter(|node| !is_parent(*node)).collect();
        for end in ends {
            let nodes = graph["nodes"].as_array_mut().expect("a list");
            let look = nodes.len();
            nodes.push(json!({"step": {"key": format!("look-{look}"), "cmd": LOOK}, "env": {}}));
            let edges = graph["edges"].as_array_mut().expect("a list");
            edges.push(json!([end, look, "builds_in"]));
        }
    }
    serde_json::to_vec(&document).expect("it was JSON")
}

fn seen(build: &Build) -> Seen {
    build
        .steps()
        .map(|(key, step)| {
            let lines = step.stdout().into_iter().map(str::to_owned).collect();
            (key.to_owned(), (step.status.clone(), step.exit_code, lines))
        })
        .collect()
}

/// Runs a pipeline of a sample on both engines, and compares. `differ` names steps whose
/// output is the engine's own, or whose end is a matter of time.
#[track_caller]
fn same(name: &str, slug: Option<&str>, flags: &[&str], differ: &[&str]) {
    let test = format!("{name} on docker");
    let Some(docker) = docker(&test) else {
        return;
    };
    let text = std::fs::read(samples().join(format!("{name}.json"))).expect("a sample");
    let mut views = Vec::new();
    for (engine, image) in [("sandbox", "*=host"), ("docker", "*=hm-test:busybox")] {
        assert_eq!(Docker::IMAGE, "hm-test:busybox");
        let project = Project::new()
            .tree(&samples().join("tree"))
            .file(&format!("sample/{name}.json"), with_looks(&text));
        let project = with(&docker, project);
        let finished = project
            .run()
            .args(["--engine", engine, "--image", image, "-k"])
            .args(["--file", &format!("sample/{name}.json")])
            .args(flags)
            .args(slug)
            .within(LONG)
            .run();
        let build = finished.build();
        let mut steps = seen(&build);
        for key in differ {
            steps.remove(*key);
        }
        views.push((build.status.clone(), finished.code(), steps));
        assert_nothing_left(&docker, &project);
    }
    let (docker, sandbox) = (views.pop().expect("two"), views.pop().expect("two"));
    assert_eq!(sandbox.0, docker.0, "verdict of {name}");
    assert_eq!(sandbox.1, docker.1, "exit code of {name}");
    for (key, step) in &sandbox.2 {
        assert_eq!(Some(step), docker.2.get(key), "{key} of {name}");
    }
    assert_eq!(sandbox.2.len(), docker.2.len(), "steps of {name}");
}

#[test]
fn small_samples() {
    for name in [
        "hello",
        "chain-files",
        "fan-out-in",
        "images",
        "targets",
        "wire-extras",
    ] {
        same(name, None, &["-j", "4"], &[]);
    }
}

#[test]
fn env_levels() {
    // One step shows its `PATH`, which is the image's.
    same("env-levels", None, &[], &["test-path"]);
}

#[test]
fn timeouts() {
    same("timeouts", Some("within-limits"), &[], &[]);
    same("timeouts", Some("step-over"), &[], &[]);
}

#[test]
fn cache_policies() {
    same("cache-policies", None, &["-j", "4"], &[]);
}

#[test]
fn multi_pipeline() {
    for slug in ["ci", "release", "labels-2", "nightly", "empty-triggers"] {
        same("multi-pipeline", Some(slug), &[], &[]);
    }
}

#[test]
fn failures() {
    for slug in [
        "exit-three",
        "codes",
        "barrier-after-failure",
        "all-pass-after-noise",
    ] {
        same("failures", Some(slug), &["-j", "8"], &[]);
    }
}

#[test]
fn matrix_64() {
    same("matrix-64", None, &["-j", "8"], &[]);
}

#[test]
fn chain_200() {
    same("chain-200", None, &[], &[]);
}

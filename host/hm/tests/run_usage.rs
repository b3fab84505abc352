//! `hm run` up to the point where something would run.

mod common;

use common::{TWO_STEPS, World};

fn world() -> World {
    World::new().with(".hm/ci.toml", TWO_STEPS)
}

#[test]
fn a_dry_run_prints_the_plan() {
    let ran = world()
        .hm(&["run", "--dry-run", "-e", "A=1", "--image", "ho*=tiny"])
        .ended(0);
    insta::assert_snapshot!(ran.out, @r"
    pipeline ci on backend local: 2 steps, nothing was run

    [build]
      image    tiny  (for host)
      run      echo built > out

    [test]
      from     build
      run      cat out
    ");
}

#[test]
fn a_document_is_read_from_a_file_or_standard_input_without_a_project() {
    let world = World::new().with("one.toml", TWO_STEPS);
    let ran = world
        .hm(&["run", "--dry-run", "--file", "one.toml"])
        .ended(0);
    assert!(ran.out.starts_with("pipeline one on"), "{}", ran.out);
    let file = std::fs::File::open(world.project().join("one.toml")).unwrap();
    let output = world
        .command(&["run", "--dry-run", "--file", "-"])
        .stdin(file)
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).starts_with("pipeline default on"),
        "{output:?}"
    );
}

#[test]
fn backends_that_are_not_there_are_told_so() {
    for flags in [&["--backend", "cloud"][..], &["--cloud"]] {
        let ran = world().hm(&[&["run"], flags].concat()).ended(3);
        assert!(ran.err.contains("hm cloud login"), "{}", ran.err);
    }
    let ran = world().hm(&["run", "--backend", "locl"]).ended(2);
    assert!(ran.err.contains("did you mean `local`?"), "{}", ran.err);
    let ran = world()
        .hm_with(&[("HM_BACKEND", "locl")], &["run"])
        .ended(2);
    assert!(ran.err.contains("set by HM_BACKEND"), "{}", ran.err);
}

#[test]
fn bad_values_are_usage_errors() {
    for arguments in [
        &["run", "-e", "novalue"][..],
        &["run", "-e", "=x"],
        &["run", "--env-file", "missing"],
        &["run", "--image", "host"],
        &["run", "--timeout", "soon"],
        &["run", "--timeout", "0"],
        &["run", "-j", "x"],
        &["run", "--format", "xml"],
        &["run", "--network", "moon"],
        &["run", "-d", "nowhere"],
        &["run", "other"],
    ] {
        let ran = world().hm(arguments).ended(2);
        assert!(ran.err.starts_with("error: "), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn the_predecessors_flags_still_work() {
    world()
        .hm(&[
            "run",
            "--dry-run",
            "--parallelism",
            "0",
            "--logs",
            "--no-color",
        ])
        .ended(0);
    world()
        .hm(&["--color", "never", "run", "--dry-run"])
        .ended(0);
}

#[test]
fn without_a_project_the_remedy_is_told() {
    let ran = World::new().hm(&["run"]).ended(2);
    assert!(
        ran.err.contains("no `.hm/` folder") && ran.err.contains("hm init"),
        "{}",
        ran.err
    );
}

#[test]
fn runners_and_secrets_that_nobody_has_are_faults_of_the_pipeline() {
    let runner = r#"{"version":"0","graph":{"node_holes":[],"edge_property":"directed","edges":[],
        "nodes":[{"step":{"key":"a","cmd":"true","runner":"docker"},"env":{}}]}}"#;
    let ran = World::new()
        .with(".hm/ci.json", runner)
        .hm(&["run"])
        .ended(7);
    assert!(
        ran.err.contains("docker") && ran.err.contains("vm"),
        "{}",
        ran.err
    );
    let secret =
        "image = \"host\"\n[steps.a]\nrun = \"true\"\nenv = { TOKEN = \"hm-secret:TOKEN\" }\n";
    let ran = World::new()
        .with(".hm/ci.toml", secret)
        .hm(&["run"])
        .ended(7);
    assert!(ran.err.contains("TOKEN"), "{}", ran.err);
}

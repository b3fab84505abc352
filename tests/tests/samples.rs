//! Every sample document, run by `hm run`: verdict, how each step ended, and the order.

use std::path::Path;

use hm_tests::{Build, Document, Finished, Project, cannot, document, python_path, samples};

/// How a step ends that does not pass: its key, status and exit code.
type End = (&'static str, &'static str, Option<i64>);

fn project(name: &str) -> (Project, Document) {
    let text = std::fs::read(samples().join(format!("{name}.json"))).unwrap();
    let project = Project::new()
        .tree(&samples().join("tree"))
        .file(&format!("sample/{name}.json"), text);
    (project, document(name))
}

/// Runs a pipeline of a sample, checks its end, and the order against the document.
#[track_caller]
fn run(name: &str, slug: Option<&str>, flags: &[&str], code: i32, ends: &[End]) -> Build {
    let (project, document) = project(name);
    check(
        sample(&project, name, slug, flags),
        &document,
        slug,
        code,
        ends,
    )
}

#[track_caller]
fn sample(project: &Project, name: &str, slug: Option<&str>, flags: &[&str]) -> Finished {
    let file = format!("sample/{name}.json");
    project
        .run()
        .args(["--image", "*=host", "--file", &file])
        .args(flags)
        .args(slug)
        .run()
}

#[track_caller]
fn check(
    finished: Finished,
    document: &Document,
    slug: Option<&str>,
    code: i32,
    ends: &[End],
) -> Build {
    let build = finished.expect(code).build();
    let pipeline = document.pipelines.iter().find(|pipeline| {
        slug.is_none() || pipeline.slug.is_none() || pipeline.slug.as_deref() == slug
    });
    pipeline
        .expect("the sample has this pipeline")
        .assert_ran(&build);
    let status = match code {
        0 => "passed",
        1 => "failed",
        _ => "timed_out",
    };
    assert_eq!(build.status, status);
    build.assert_ends(ends);
    build
}

#[test]
fn hello() {
    let build = run("hello", None, &[], 0, &[]);
    assert_eq!(build.step("say-hello").stdout(), ["hello from Linux"]);
    assert_eq!(build.step("say-hello").display_name, "Say hello");
}

#[test]
fn chain_files() {
    let build = run("chain-files", None, &[], 0, &[]);
    assert_eq!(build.step("show-it").stdout(), ["1", "2", "3"]);
    assert_eq!(build.step("verify_sum").stdout(), ["sum=6"]);
    assert_eq!(build.step("verify_sum").parent.as_deref(), Some("show-it"));
}

#[test]
fn fan_out_in() {
    run("fan-out-in", None, &["-j", "4"], 0, &[]);
}

#[test]
fn images() {
    let build = run("images", None, &[], 0, &[]);
    assert_eq!(
        build.step("alpine-root").image.as_deref(),
        Some("alpine:3.20")
    );
    assert_eq!(
        build.step("default-root").image.as_deref(),
        Some("ubuntu:24.04")
    );
}

#[test]
fn env_levels() {
    run("env-levels", None, &[], 0, &[]);
}

#[test]
fn timeouts_within_limits() {
    run("timeouts", Some("within-limits"), &[], 0, &[]);
}

#[test]
fn timeouts_step_over() {
    let ends: &[End] = &[
        ("too-slow", "timed_out", Some(124)),
        ("after-too-slow", "skipped", None),
    ];
    let build = run("timeouts", Some("step-over"), &["-k"], 1, ends);
    assert_eq!(build.step("too-slow").stdout(), ["started"]);
}

#[test]
fn timeouts_build_over() {
    let (project, document) = project("timeouts");
    let build = sample(&project, "timeouts", Some("build-over"), &[])
        .expect(124)
        .build();
    document.pipelines[2].assert_ran(&build);
    assert_eq!(build.status, "timed_out");
    assert_eq!(build.step("go").status, "passed");
    let last = build.step("nap-4");
    assert!(
        ["cancelled", "skipped"].contains(&last.status.as_str()),
        "{last:?}"
    );
    assert!(build.steps().any(|(_, step)| step.status == "cancelled"));
}

#[test]
fn cache_policies_and_a_second_run_from_the_cache() {
    let (project, document) = project("cache-policies");
    let first = check(
        sample(&project, "cache-policies", None, &[]),
        &document,
        None,
        0,
        &[],
    );
    assert!(first.steps().all(|(_, step)| !step.is_cached));
    let second = sample(&project, "cache-policies", None, &[])
        .expect(0)
        .build();
    document.pipelines[0].assert_ran(&second);
    for (key, step) in second.steps() {
        let uncached = ["never-cached", "no-policy-at-all"].contains(&key);
        let expected = if uncached { "passed" } else { "cache_hit" };
        assert_eq!(
            (step.status.as_str(), step.exit_code),
            (expected, Some(0)),
            "{key}"
        );
        assert_eq!(step.is_cached, !uncached, "{key}");
    }
    assert_eq!(second.step("no-policy-at-all").stdout(), ["ok"]);
    let third = sample(&project, "cache-policies", None, &["--no-cache"])
        .expect(0)
        .build();
    third.assert_ends(&[]);
}

#[test]
fn targets() {
    run("targets", None, &[], 0, &[]);
}

#[test]
fn multi_pipeline() {
    for (slug, steps) in [
        ("ci", 3),
        ("release", 2),
        ("labels-2", 1),
        ("nightly", 1),
        ("empty-triggers", 1),
    ] {
        let build = run("multi-pipeline", Some(slug), &[], 0, &[]);
        assert_eq!(build.keys().len(), steps, "{slug}");
    }
}

#[test]
fn multi_pipeline_wants_a_choice() {
    let (project, _) = project("multi-pipeline");
    let finished = sample(&project, "multi-pipeline", None, &[]).expect(2);
    finished.says(&["ci", "release", "labels-2", "nightly", "empty-triggers"]);
    project.assert_nothing_started();
}

#[test]
fn matrix_64() {
    let build = run("matrix-64", None, &["-j", "16"], 0, &[]);
    assert_eq!(build.step("summary").stdout(), ["64 cells"]);
}

#[test]
fn chain_200() {
    let build = run("chain-200", None, &[], 0, &[]);
    assert_eq!(build.step("last").stdout(), ["done"]);
}

#[test]
fn failures_exit_three_stops_the_rest() {
    let (project, document) = project("failures");
    let flags = ["-j", "3"];
    let build = sample(&project, "failures", Some("exit-three"), &flags)
        .expect(1)
        .build();
    document.pipelines[0].assert_ran(&build);
    let quick = build.step("quick-sibling").status.clone();
    let quick_code = if quick == "passed" {
        Some(0)
    } else {
        build.step("quick-sibling").exit_code
    };
    let slow = build.step("slow-sibling");
    assert!(slow.stdout().is_empty());
    build.assert_ends(&[
        ("exit-three", "failed", Some(3)),
        ("child", "skipped", None),
        ("grandchild", "skipped", None),
        ("slow-sibling", "cancelled", slow.exit_code),
        // It needs a tenth of a second, which it may or may not get.
        ("quick-sibling", &quick, quick_code),
    ]);
    assert!(["passed", "cancelled"].contains(&quick.as_str()), "{quick}");
    assert_eq!(build.step("exit-three").stderr(), ["about to fail"]);
    assert!(build.step("child").reason.is_some(), "a skip tells why");
}

#[test]
fn failures_exit_three_with_keep_going() {
    let ends: &[End] = &[
        ("exit-three", "failed", Some(3)),
        ("child", "skipped", None),
        ("grandchild", "skipped", None),
    ];
    let build = run("failures", Some("exit-three"), &["--keep-going"], 1, ends);
    assert_eq!(build.step("slow-sibling").stdout(), ["late"]);
}

#[test]
fn failures_codes() {
    let ends: &[End] = &[
        ("one", "failed", Some(1)),
        ("not-found", "failed", Some(127)),
        ("killed", "failed", Some(137)),
        ("terminated", "failed", Some(143)),
        ("own-exit-130", "failed", Some(130)),
        ("own-exit-124", "failed", Some(124)),
        ("top-code", "failed", Some(255)),
    ];
    run("failures", Some("codes"), &["-k"], 1, ends);
}

#[test]
fn failures_barrier_after_failure() {
    let ends: &[End] = &[
        ("bad", "failed", Some(1)),
        ("behind-both", "skipped", None),
        ("last", "skipped", None),
    ];
    run("failures", Some("barrier-after-failure"), &["-k"], 1, ends);
}

#[test]
fn failures_all_pass_after_noise() {
    let build = run("failures", Some("all-pass-after-noise"), &[], 0, &[]);
    assert_eq!(
        build.step("status-is-the-last-command").stdout(),
        ["status was 9"]
    );
}

#[test]
fn wire_extras() {
    let (project, document) = project("wire-extras");
    let finished = sample(&project, "wire-extras", None, &[]);
    let finished = finished.says(&["content-hash"]);
    let build = check(finished, &document, None, 0, &[]);
    assert_eq!(build.step("one").image.as_deref(), Some("alpine:3.20"));
    assert_eq!(
        build.step("three").image.as_deref(),
        Some("debian:bookworm-slim")
    );
}

/// Runs what `NAME.py` declares, as `hm run` renders it itself.
#[track_caller]
fn python(name: &str, slug: Option<&str>, flags: &[&str], code: i32, ends: &[End]) {
    let path = match python_path() {
        Ok(path) => path,
        Err(why) => return cannot(&format!("{name}.py"), &why),
    };
    let text = std::fs::read(samples().join(format!("{name}.py"))).unwrap();
    let project = Project::new()
        .tree(&samples().join("tree"))
        .file(&format!(".hm/{name}.py"), text);
    let run = project
        .run()
        .env("PATH", path)
        .args(["--image", "*=host"])
        .args(flags)
        .args(slug);
    check(run.run(), &document(name), slug, code, ends);
}

#[test]
fn python_hello() {
    python("hello", None, &[], 0, &[]);
}

#[test]
fn python_chain_files() {
    python("chain-files", Some("chain-files"), &[], 0, &[]);
}

#[test]
fn python_fan_out_in() {
    python("fan-out-in", None, &[], 0, &[]);
}

#[test]
fn python_images() {
    python("images", None, &[], 0, &[]);
}

#[test]
fn python_env_levels() {
    python("env-levels", None, &[], 0, &[]);
}

#[test]
fn python_timeouts() {
    let ends: &[End] = &[
        ("too-slow", "timed_out", Some(124)),
        ("after-too-slow", "skipped", None),
    ];
    python("timeouts", Some("within-limits"), &[], 0, &[]);
    python("timeouts", Some("step-over"), &["-k"], 1, ends);
}

#[test]
fn python_cache_policies() {
    python("cache-policies", None, &[], 0, &[]);
}

#[test]
fn python_targets() {
    python("targets", None, &[], 0, &[]);
}

#[test]
fn python_multi_pipeline() {
    for slug in ["ci", "release", "labels-2", "nightly", "empty-triggers"] {
        python("multi-pipeline", Some(slug), &[], 0, &[]);
    }
}

#[test]
fn python_matrix_64() {
    python("matrix-64", None, &["-j", "16"], 0, &[]);
}

#[test]
fn python_failures() {
    let ends: &[End] = &[
        ("bad", "failed", Some(1)),
        ("behind-both", "skipped", None),
        ("last", "skipped", None),
    ];
    python("failures", Some("barrier-after-failure"), &["-k"], 1, ends);
    python("failures", Some("all-pass-after-noise"), &[], 0, &[]);
}

/// What the factory form prints is a bare document, which `hm run` takes from a pipe.
#[test]
fn python_documents_by_pipe() {
    let path = match python_path() {
        Ok(path) => path,
        Err(why) => return cannot("chain-200.py and wire-extras.py", &why),
    };
    for name in ["chain-200", "wire-extras"] {
        let project = Project::new().tree(&samples().join("tree"));
        let script = samples().join(format!("{name}.py"));
        let python = Path::new(path.split(':').next().unwrap()).join("python3");
        let printed = project
            .program(python.to_str().unwrap())
            .arg(script)
            .run()
            .expect(0);
        let run = project
            .run()
            .args(["--image", "*=host", "--file", "-"])
            .stdin(printed.stdout);
        check(run.run(), &document(name), None, 0, &[]);
    }
}

/// Its steps want the network, so it is rendered and drawn, and never run.
#[test]
fn python_toolchains_is_rendered_and_drawn() {
    let path = match python_path() {
        Ok(path) => path,
        Err(why) => return cannot("toolchains.py", &why),
    };
    let text = std::fs::read(samples().join("toolchains.py")).unwrap();
    let project = Project::new()
        .tree(&samples().join("tree"))
        .file(".hm/toolchains.py", text);
    let rendered = project
        .hm(["render", "toolchains"])
        .env("PATH", &path)
        .run()
        .expect(0);
    let rendered: serde_json::Value = serde_json::from_str(&rendered.text()).unwrap();
    assert_eq!(rendered["graph"]["nodes"].as_array().unwrap().len(), 25);
    let drawn = project
        .hm(["graph", "toolchains"])
        .env("PATH", &path)
        .run()
        .expect(0)
        .text();
    for key in &document("toolchains").pipelines[0].keys {
        assert!(drawn.contains(key.as_str()), "no {key} in\n{drawn}");
    }
}

#[test]
fn every_sample_is_in_one_of_the_tests() {
    let here = include_str!("samples.rs");
    for entry in std::fs::read_dir(samples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = name.strip_suffix(".json").or(name.strip_suffix(".py")) {
            assert!(here.contains(&format!("\"{name}")), "{name} is not tested");
        }
    }
}

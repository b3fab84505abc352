//! Every sample document parses, and its plan has the shape that its source implies.

use std::path::PathBuf;

use hm_pipeline::ir::{self, DEFAULT_IMAGE, Document, Shape};
use hm_pipeline::{PipelineError, Source};
use hm_plugin_protocol::{EdgeKind, Plan, PlanGraph};

fn samples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/pipelines")
}

fn load(name: &str) -> Result<Document, PipelineError> {
    let source = Source::read(&samples().join(name), name)?;
    let stem = name.trim_end_matches(".json").rsplit('/').next().unwrap();
    ir::parse(&source, stem, DEFAULT_IMAGE)
}

/// Returns the plan of pipeline `slug` in the sample `name`.
fn plan(name: &str, slug: &str) -> Plan {
    let document = load(&format!("{name}.json")).unwrap();
    let pipeline = document.pipelines.iter().find(|p| p.slug == slug).unwrap();
    pipeline.checked.as_ref().unwrap().plan.clone()
}

/// Slugs with their numbers of steps.
type Steps = &'static [(&'static str, usize)];

#[test]
fn every_sample_has_its_pipelines_and_steps() {
    use Shape::{Bare, Envelope};
    let table: &[(&str, Shape, Steps)] = &[
        ("hello", Envelope, &[("hello", 1)]),
        ("chain-files", Bare, &[("chain-files", 5)]),
        ("fan-out-in", Envelope, &[("fan-out-in", 11)]),
        ("images", Envelope, &[("images", 7)]),
        ("env-levels", Bare, &[("env-levels", 9)]),
        (
            "timeouts",
            Envelope,
            &[("within-limits", 5), ("step-over", 3), ("build-over", 6)],
        ),
        ("cache-policies", Envelope, &[("cache-policies", 13)]),
        ("targets", Envelope, &[("targets", 7)]),
        (
            "multi-pipeline",
            Envelope,
            &[
                ("ci", 3),
                ("release", 2),
                ("labels-2", 1),
                ("nightly", 1),
                ("empty-triggers", 1),
            ],
        ),
        ("matrix-64", Bare, &[("matrix-64", 129)]),
        ("chain-200", Bare, &[("chain-200", 200)]),
        (
            "failures",
            Envelope,
            &[
                ("exit-three", 5),
                ("codes", 8),
                ("barrier-after-failure", 4),
                ("all-pass-after-noise", 2),
            ],
        ),
        ("toolchains", Bare, &[("toolchains", 25)]),
        ("wire-extras", Bare, &[("wire-extras", 3)]),
    ];
    for (name, shape, expected) in table {
        let document = load(&format!("{name}.json")).unwrap();
        assert_eq!(document.shape, *shape, "{name}");
        let found: Vec<_> = document
            .pipelines
            .iter()
            .map(|p| {
                (
                    p.slug.as_str(),
                    p.checked.as_ref().unwrap().plan.steps.len(),
                )
            })
            .collect();
        assert_eq!(found, *expected, "{name}");
    }
}

#[test]
fn no_sample_has_unknown_fields_and_one_has_a_warning() {
    let mut warned = Vec::new();
    for entry in std::fs::read_dir(samples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".json") {
            continue;
        }
        for pipeline in load(&name).unwrap().pipelines {
            let checked = pipeline.checked.unwrap();
            assert_eq!(checked.unknown_fields, [], "{name}");
            warned.extend(checked.warnings.iter().map(|w| w.to_string()));
        }
    }
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(
        warned[0].contains("unknown cache policy \"content-hash\""),
        "{warned:?}"
    );
}

#[test]
fn only_roots_boot_from_images() {
    let plan = plan("images", "images");
    let images: Vec<_> = plan
        .steps
        .iter()
        .map(|s| (s.key.as_str(), s.image.as_deref()))
        .collect();
    assert_eq!(
        images,
        [
            ("default-root", Some("ubuntu:24.04")),
            ("default-child", None),
            ("alpine-root", Some("alpine:3.20")),
            ("child-with-its-own-image", None),
            ("debian-root", Some("debian:bookworm-slim")),
            ("debian-child", None),
            ("scratch-image-root", Some("busybox:1.36")),
        ]
    );
}

#[test]
fn what_the_dsl_never_writes_is_honoured() {
    let plan = plan("wire-extras", "wire-extras");
    assert_eq!(
        plan.steps[0].image.as_deref(),
        Some("alpine:3.20"),
        "default_image"
    );
    assert_eq!(plan.steps[1].env["WHO"], "step", "step.env wins");
    assert_eq!(plan.steps[1].env["SCOPE"], "pipeline");
    assert_eq!(plan.steps[1].timeout.unwrap().as_secs(), 60);
    assert_eq!(plan.steps[1].label, None);
    let cache = plan.steps[2].cache.as_ref().unwrap();
    assert_eq!(cache.policy, "content-hash");
    assert_eq!(cache.key.as_deref(), Some("Mixed-Case_Key.01"));
}

#[test]
fn a_pair_may_carry_both_kinds_of_edge() {
    let plan = plan("fan-out-in", "fan-out-in");
    let publish = plan
        .steps
        .iter()
        .position(|s| s.label.as_deref() == Some("Publish"))
        .unwrap();
    let branch = plan
        .steps
        .iter()
        .position(|s| s.label.as_deref() == Some("Branch 0"))
        .unwrap();
    let kinds: Vec<_> = plan
        .edges
        .iter()
        .filter(|e| (e.before as usize, e.after as usize) == (branch, publish))
        .map(|e| e.kind)
        .collect();
    assert_eq!(kinds.len(), 2);
    assert!(kinds.contains(&EdgeKind::BuildsIn) && kinds.contains(&EdgeKind::DependsOn));
}

#[test]
fn timeouts_reach_steps_and_builds() {
    let within = plan("timeouts", "within-limits");
    assert_eq!(within.timeout.unwrap().as_secs(), 5400);
    let seconds: Vec<_> = within
        .steps
        .iter()
        .map(|s| s.timeout.map(|t| t.as_secs()))
        .collect();
    assert_eq!(seconds, [Some(30), Some(45), Some(120), Some(3600), None]);
}

#[test]
fn the_policy_none_is_no_cache() {
    let plan = plan("cache-policies", "cache-policies");
    let uncached: Vec<_> = plan
        .steps
        .iter()
        .filter(|s| !s.is_cacheable())
        .map(|s| s.key.as_str())
        .collect();
    assert_eq!(uncached, ["never-cached", "no-policy-at-all"]);
    assert!(plan.steps.iter().all(|s| {
        s.cache
            .as_ref()
            .is_none_or(|c| c.key.as_ref().unwrap().len() == 64)
    }));
}

#[test]
fn environment_is_complete_in_each_step() {
    let plan = plan("env-levels", "env-levels");
    let wins = plan.steps.iter().find(|s| s.key == "step-wins").unwrap();
    assert_eq!(wins.env["LEVEL"], "step");
    assert_eq!(wins.env["EMPTY"], "");
    assert_eq!(wins.env["MULTI"], "line one\nline two");
}

#[test]
fn chains_are_counted_as_the_reference_says() {
    let chain = plan("chain-200", "chain-200");
    assert_eq!(PlanGraph::new(&chain).chains(&chain).count, 1);
    let matrix = plan("matrix-64", "matrix-64");
    assert_eq!(PlanGraph::new(&matrix).chains(&matrix).count, 65);
}

#[test]
fn a_plan_written_back_is_the_same_plan() {
    for (name, slug) in [
        ("matrix-64", "matrix-64"),
        ("cache-policies", "cache-policies"),
    ] {
        let first = plan(name, slug);
        let source = Source::new("again.json", first.ir_json());
        let again = ir::parse(&source, slug, DEFAULT_IMAGE).unwrap();
        assert_eq!(again.pipelines[0].checked.as_ref().unwrap().plan, first);
    }
}

/// Returns all that is said about a document of `invalid/`: problems and warnings.
fn said(name: &str) -> Result<Vec<String>, String> {
    let source = Source::read(&samples().join("invalid").join(name), name).unwrap();
    let result = ir::parse(&source, "x", DEFAULT_IMAGE)
        .and_then(|document| document.pipelines[0].checked(&source).cloned());
    match result {
        Ok(checked) => Ok(checked.warnings.iter().map(ToString::to_string).collect()),
        Err(error) => {
            assert_eq!(error.kind().exit_code(), 7, "{name}");
            Err(error.to_string())
        }
    }
}

#[test]
fn each_fault_is_told_with_its_place() {
    let table: &[(&str, &str)] = &[
        ("bom.json", "bom.json:1:1: begins with a byte order mark"),
        (
            "cycle.json",
            "graph.edges[1] at cycle.json:1:241: cycle: a → b → a (builds_in, depends_on)",
        ),
        (
            "dangling.json",
            "graph.edges[0][1] at dangling.json:1:224: node 9 does not exist (2 nodes)",
        ),
        (
            "dupkeys.json",
            "graph.nodes[1].step.key at dupkeys.json:1:105: duplicate key \"a\": nodes 0 and 1",
        ),
        (
            "edgekind.json",
            "graph.edges[0][2] at edgekind.json:1:227: unknown edge kind \"after\"",
        ),
        (
            "emptyimage.json",
            "default_image at emptyimage.json:1:260: empty image name \"\"",
        ),
        (
            "envint.json",
            "graph.nodes[0].env.A at envint.json:1:113: expected a string, found the number 1",
        ),
        (
            "hole_end.json",
            "graph.node_holes at hole_end.json:1:177: holes are not supported",
        ),
        (
            "nocmd.json",
            "graph.nodes[0].step.cmd at nocmd.json:1:47: missing, expected a string (step a)",
        ),
        (
            "nonodes.json",
            "graph.nodes at nonodes.json:1:27: missing, expected an array of nodes",
        ),
        (
            "nullnode.json",
            "graph.nodes[1] at nullnode.json:1:112: holes are not supported",
        ),
        (
            "selfloop.json",
            "graph.edges[0] at selfloop.json:1:220: cycle: a → a (depends_on)",
        ),
        (
            "timeout0.json",
            "graph.nodes[0].step.timeout_seconds at timeout0.json:1:118: timeout must be a whole number of seconds from 1 to 4294967295, found the number 0 (step a)",
        ),
        ("timeoutfloat.json", "found the number 1.5 (step a)"),
        (
            "trailing.json",
            "trailing.json:1:243: text after the end of the document: \"junk\"",
        ),
        (
            "twobi.json",
            "graph.edges[1] at twobi.json:1:267: step c builds in both a and b; only one is allowed",
        ),
        (
            "undirected.json",
            "graph.edge_property at undirected.json:1:198: expected the string \"directed\", found the string \"undirected\"",
        ),
        (
            "version7.json",
            "version at version7.json:1:13: unknown IR version \"7\"; this hm reads \"0\"",
        ),
    ];
    for (name, expected) in table {
        let told = said(name).expect_err(name);
        let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(expected), "{name}: {told}");
        assert!(told.starts_with("1 problem in "), "{name}: {told}");
        assert!(
            told.lines().all(|line| line.chars().count() <= 80),
            "{name}: {told}"
        );
    }
}

#[test]
fn oddities_pass() {
    for name in [
        "paredge.json",
        "p_nokey.json",
        "p_upper.json",
        "unknownfields.json",
    ] {
        assert_eq!(said(name), Ok(Vec::new()), "{name}");
    }
    assert!(said("p_empty.json").unwrap()[0].contains("no steps"));
    assert!(said("policyunknown.json").unwrap()[0].contains("unknown cache policy \"wat\""));
}

#[test]
fn every_document_of_the_folder_is_in_one_of_the_tables() {
    let count = std::fs::read_dir(samples().join("invalid"))
        .unwrap()
        .count();
    assert_eq!(count, 18 + 6);
}

#[test]
fn unknown_fields_are_listed_with_their_places() {
    let document = load("invalid/unknownfields.json").unwrap();
    let checked = document.pipelines[0].checked.as_ref().unwrap();
    let fields: Vec<_> = checked
        .unknown_fields
        .iter()
        .map(|p| p.field.as_str())
        .collect();
    assert_eq!(fields, ["extra", "graph.nodes[0].step.colour"]);
}

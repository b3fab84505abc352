//! Pictures of plans.

use std::path::PathBuf;

use hm_pipeline::ir::{self, DEFAULT_IMAGE};
use hm_pipeline::{Source, draw};
use hm_plugin_protocol::{Edge, EdgeKind, Plan, Step};
use unicode_width::UnicodeWidthStr;

fn sample(name: &str) -> Plan {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/pipelines")
        .join(name);
    let source = Source::read(&path, name).unwrap();
    let document = ir::parse(&source, "sample", DEFAULT_IMAGE).unwrap();
    document.pipelines[0].checked.as_ref().unwrap().plan.clone()
}

fn step(key: String) -> Step {
    Step {
        key,
        label: None,
        command: "true".to_owned(),
        image: None,
        env: Default::default(),
        timeout: None,
        cache: None,
        runner: None,
        runner_args: None,
        network: None,
    }
}

#[test]
fn a_tree_nests_by_lineage_and_names_what_is_waited_for() {
    assert_eq!(
        draw::tree(&sample("targets.json"), 80),
        "\
base  Base  [ubuntu:24.04]
├─ library  Library
│  ├─ app  App
│  │  ├─ check-app  Check app
│  │  └─ check-lib  Check lib
│  └─ docs  Docs
└─ clean  Clean
"
    );
    assert_eq!(
        draw::tree(&sample("chain-files.json"), 80),
        "\
make-out  Make out  [ubuntu:24.04]
→ append-in-out  Append in out
→ bef5c724dd6d  test \"$(wc -l < out/count)\" -eq 2 && ech…
→ show-it  :package: Show it
→ verify_sum  Check the sum
"
    );
    assert_eq!(
        draw::tree(&sample("fan-out-in.json"), 80),
        "\
base  Base  [ubuntu:24.04]
├─ branch-0  Branch 0
│  → publish  Publish  [after base, branch-1, branch-2, branch-3 and 4 more]
├─ branch-1  Branch 1
├─ branch-2  Branch 2
├─ branch-3  Branch 3
├─ branch-4  Branch 4
├─ branch-5  Branch 5
├─ a26205e9f8c8  Twin
└─ 72e2719d353a  Twin
report  Report  [ubuntu:24.04; after base, branch-0, branch-1 and 6 more]
"
    );
}

#[test]
fn every_sample_fits_the_width() {
    for name in [
        "matrix-64.json",
        "toolchains.json",
        "cache-policies.json",
        "chain-200.json",
    ] {
        for width in [40, 80] {
            let plan = sample(name);
            let tree = draw::tree(&plan, width);
            assert_eq!(tree.lines().count(), plan.steps.len(), "{name}");
            assert!(
                tree.lines().all(|line| line.width() <= width),
                "{name}\n{tree}"
            );
        }
    }
}

#[test]
fn twenty_thousand_steps_are_drawn_flat_and_narrow() {
    let count = 20_000u32;
    let steps: Vec<Step> = (0..count).map(|i| step(format!("s{i}"))).collect();
    let chain = (1..count).map(|i| Edge {
        before: i - 1,
        after: i,
        kind: EdgeKind::BuildsIn,
    });
    // Two children each: one goes on, so that the nesting is as deep as can be.
    let comb = (1..count).map(|i| Edge {
        before: if i % 2 == 1 { i - 1 } else { i - 2 },
        after: i,
        kind: EdgeKind::BuildsIn,
    });
    for edges in [chain.collect::<Vec<_>>(), comb.collect()] {
        let plan = Plan {
            pipeline: "p".into(),
            steps: steps.clone(),
            edges,
            timeout: None,
        };
        let tree = draw::tree(&plan, 80);
        assert_eq!(tree.lines().count(), count as usize);
        assert!(tree.lines().all(|line| line.width() <= 80));
        assert!(draw::dot(&plan).lines().count() >= 2 * count as usize);
    }
}

#[test]
fn dot_quotes_what_it_is_given() {
    let mut plan = Plan {
        pipeline: "a \"b\"".into(),
        steps: vec![step("one \\ \"two\"\nthree\u{1b}".into()), step("b".into())],
        edges: vec![
            Edge {
                before: 0,
                after: 1,
                kind: EdgeKind::BuildsIn,
            },
            Edge {
                before: 0,
                after: 1,
                kind: EdgeKind::DependsOn,
            },
        ],
        timeout: None,
    };
    plan.steps[1].label = Some("b".into());
    assert_eq!(
        draw::dot(&plan),
        "digraph \"a \\\"b\\\"\" {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n  \
         s0 [label=\"true\\n(one \\\\ \\\"two\\\"\\nthree )\"];\n  s1 [label=\"b\"];\n  s0 -> s1;\n}\n"
    );
    let barrier = draw::dot(&sample("fan-out-in.json"));
    assert!(barrier.contains("[style=dashed]"), "{barrier}");
}

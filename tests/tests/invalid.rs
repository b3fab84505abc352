//! Documents with one fault each: told with file and place, exit code 7, nothing started.

use hm_tests::{Finished, Project, samples};

/// Runs a document of `invalid/`.
fn run(project: &Project, name: &str) -> Finished {
    let text = std::fs::read(samples().join("invalid").join(name)).unwrap();
    project.write(name, text);
    project
        .run()
        .args(["--image", "*=host", "--file", name])
        .run()
}

#[track_caller]
fn refused(name: &str, expected: &str) {
    let project = Project::new();
    let finished = run(&project, name)
        .expect(7)
        .says(&[expected, "1 problem in"]);
    assert_eq!(finished.text(), "", "nothing on standard output");
    project.assert_nothing_started();
}

#[track_caller]
fn passes(name: &str, steps: usize, warning: Option<&str>) {
    let project = Project::new();
    let finished = run(&project, name).expect(0);
    match warning {
        Some(warning) => drop(finished.says(&["warning", warning])),
        None => {
            let build = finished.build();
            assert_eq!(build.keys().len(), steps);
            build.assert_ends(&[]);
            assert!(
                !finished.errors().contains("warning"),
                "{}",
                finished.errors()
            );
        }
    }
}

macro_rules! faults {
    ($($name:ident: $expected:expr;)*) => {
        $(
            #[test]
            fn $name() {
                refused(concat!(stringify!($name), ".json"), $expected);
            }
        )*

        const FAULTS: &[&str] = &[$(stringify!($name)),*];
    };
}

faults! {
    bom: "bom.json:1:1: begins with a byte order mark";
    cycle: "graph.edges[1] at cycle.json:1:241: cycle: a → b → a (builds_in, depends_on)";
    dangling: "graph.edges[0][1] at dangling.json:1:224: node 9 does not exist (2 nodes)";
    dupkeys: "graph.nodes[1].step.key at dupkeys.json:1:105: duplicate key \"a\": nodes 0 and 1";
    edgekind: "graph.edges[0][2] at edgekind.json:1:227: unknown edge kind \"after\"";
    emptyimage: "default_image at emptyimage.json:1:260: empty image name \"\"";
    envint: "graph.nodes[0].env.A at envint.json:1:113: expected a string, found the number 1";
    hole_end: "graph.node_holes at hole_end.json:1:177: holes are not supported";
    nocmd: "graph.nodes[0].step.cmd at nocmd.json:1:47: missing, expected a string (step a)";
    nonodes: "graph.nodes at nonodes.json:1:27: missing, expected an array of nodes";
    nullnode: "graph.nodes[1] at nullnode.json:1:112: holes are not supported";
    selfloop: "graph.edges[0] at selfloop.json:1:220: cycle: a → a (depends_on)";
    timeout0: "timeout0.json:1:118: timeout must be a whole number of seconds from 1 to 4294967295";
    timeoutfloat: "found the number 1.5 (step a)";
    trailing: "trailing.json:1:243: text after the end of the document: \"junk\"";
    twobi: "graph.edges[1] at twobi.json:1:267: step c builds in both a and b; only one is allowed";
    undirected: "graph.edge_property at undirected.json:1:198: expected the string \"directed\"";
    version7: "version at version7.json:1:13: unknown IR version \"7\"; this hm reads \"0\"";
}

#[test]
fn paredge() {
    passes("paredge.json", 2, None);
}

#[test]
fn p_nokey() {
    passes("p_nokey.json", 1, None);
}

#[test]
fn p_upper() {
    passes("p_upper.json", 2, None);
}

#[test]
fn unknownfields() {
    passes("unknownfields.json", 2, None);
}

#[test]
fn p_empty() {
    passes("p_empty.json", 0, Some("no steps"));
}

#[test]
fn policyunknown() {
    passes(
        "policyunknown.json",
        2,
        Some("unknown cache policy \"wat\""),
    );
}

#[test]
fn every_document_of_the_folder_is_tested() {
    let here = include_str!("invalid.rs");
    for entry in std::fs::read_dir(samples().join("invalid")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.trim_end_matches(".json");
        assert!(
            FAULTS.contains(&stem) || here.contains(&format!("\"{name}\"")),
            "{name} is not tested"
        );
    }
}

#[track_caller]
fn toml_refused(text: &str, expected: &[&str]) {
    let project = Project::toml(text);
    let finished = project.run().run().expect(7).says(expected);
    assert_eq!(finished.text(), "", "nothing on standard output");
    project.assert_nothing_started();
}

#[test]
fn toml_unknown_field_with_the_nearest() {
    toml_refused(
        "[steps.a]\nrunn = \"x\"\nrun = \"x\"",
        &[
            "steps.a.runn at .hm/ci.toml:2:1: unknown field \"runn\"",
            "did you mean `run`?",
        ],
    );
}

#[test]
fn toml_unknown_step() {
    toml_refused(
        "[steps.build]\nrun = \"x\"\n[steps.b]\nrun = \"x\"\nfrom = \"biuld\"",
        &[
            "steps.b.from at .hm/ci.toml:5:8: there is no step \"biuld\"",
            "did you mean \"build\"?",
        ],
    );
}

#[test]
fn toml_cycle() {
    toml_refused(
        "[steps.a]\nrun = \"x\"\nneeds = [\"b\"]\n[steps.b]\nrun = \"x\"\nfrom = \"a\"",
        &["cycle: a → b → a", ".hm/ci.toml:"],
    );
}

#[test]
fn toml_missing_command() {
    toml_refused(
        "[steps.a]\nlabel = \"x\"",
        &["steps.a.run at .hm/ci.toml:1:8: missing, expected a command"],
    );
}

#[test]
fn toml_cached_on_uncached() {
    toml_refused(
        "[steps.a]\nrun = \"x\"\n[steps.b]\nrun = \"x\"\nfrom = \"a\"\ncache = \"forever\"",
        &["steps.b.cache at .hm/ci.toml:6:9: cannot be cached: it builds on a, which has no cache"],
    );
}

#[test]
fn toml_that_is_none() {
    toml_refused("[steps.a\nrun = \"x\"", &["ci.toml", "not TOML"]);
}

#[test]
fn toml_all_faults_at_once() {
    toml_refused(
        "timeout = -1\nimagee = \"x\"\n[steps.a]\nrun = 1\n[steps.c]\nrun = \"x\"\nfrom = \"d\"\n",
        &[
            "4 problems in",
            "timeout at .hm/ci.toml:1:",
            "imagee",
            "steps.a.run",
            "steps.c.from",
        ],
    );
}

#[test]
fn a_runner_that_is_not_there() {
    toml_refused(
        "[steps.a]\nrun = \"x\"\nrunner = \"gpu\"\nimage = \"host\"",
        &["runner", "gpu"],
    );
}

#[test]
fn a_secret_that_nobody_declared() {
    toml_refused(
        "env = { T = \"hm-secret:TOKEN\" }\n[steps.a]\nrun = \"x\"\nimage = \"host\"",
        &["TOKEN"],
    );
}

/// Only the chosen pipeline's file is judged.
#[test]
fn another_file_that_is_broken_stops_nothing() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"true\"")
        .file(".hm/other.toml", "[steps");
    project.run().arg("ci").run().expect(0);
    project
        .run()
        .arg("other")
        .run()
        .expect(7)
        .says(&["other.toml:1:"]);
    project
        .hm(["pipelines"])
        .run()
        .expect(0)
        .says(&["warning", "other.toml"]);
}

#[test]
fn the_same_slug_in_two_files() {
    let project = Project::toml("[steps.a]\nimage = \"host\"\nrun = \"true\"");
    project.write(
        ".hm/ci.json",
        std::fs::read(samples().join("chain-files.json")).unwrap(),
    );
    project
        .run()
        .arg("ci")
        .run()
        .expect(7)
        .says(&["ci.toml", "ci.json"]);
    project.assert_nothing_started();
}

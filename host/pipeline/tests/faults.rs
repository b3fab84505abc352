//! Faults of IR documents, one by one and all at once, and hostile input.

use hm_pipeline::ir::{self, DEFAULT_IMAGE, Shape};
use hm_pipeline::{Checked, PipelineError, Source, Target};

fn parse(text: &str) -> Result<Checked, PipelineError> {
    let source = Source::new("ci.json", text);
    let document = ir::parse(&source, "ci", DEFAULT_IMAGE)?;
    document.pipelines[0].checked(&source).cloned()
}

/// Returns each problem of the document as one line.
fn faults(text: &str) -> Vec<String> {
    let error = parse(text).expect_err(text);
    assert_eq!(error.kind().exit_code(), 7);
    error.problems().iter().map(ToString::to_string).collect()
}

/// Returns a document of `nodes` and `edges`.
fn document(nodes: &str, edges: &str) -> String {
    format!(
        r#"{{"version": "0", "graph": {{"nodes": [{nodes}], "edge_property": "directed", "edges": [{edges}]}}}}"#
    )
}

/// Returns a document of one step with more members.
fn with(members: &str) -> String {
    document(
        &format!(r#"{{"step": {{"key": "a", "cmd": "true", {members}}}, "env": {{}}}}"#),
        "",
    )
}

const A: &str = r#"{"step": {"key": "a", "cmd": "true"}, "env": {}}"#;
const B: &str = r#"{"step": {"key": "b", "cmd": "true"}, "env": {}}"#;

#[test]
fn each_fault_is_told_with_its_place() {
    let node = "graph.nodes[0].step";
    let table: Vec<(String, String)> = [
        (with(r#""cmd": "false""#), format!("{node}.cmd at ci.json:1:75: \"cmd\" is given twice, first at ci.json:1:67")),
        (with(r#""timeout_seconds": -5"#), "found the number -5 (step a)".into()),
        (with(r#""timeout_seconds": 4294967296"#), "found the number 4294967296".into()),
        (with(r#""timeout_seconds": 60.0"#), "found the number 60.0".into()),
        (with(r#""timeout_seconds": 1e3"#), "found the number 1e3".into()),
        (with(r#""timeout_seconds": "60""#), "found the string \"60\"".into()),
        (with(r#""image": """#), format!("{node}.image at ci.json:1:84: empty image name \"\" (step a)")),
        (with(r#""image": "  ""#), "empty image name \"  \"".into()),
        (with(r#""image": 5"#), format!("{node}.image at ci.json:1:84: expected a string or null, found the number 5")),
        (with(r#""label": 5"#), format!("{node}.label at ci.json:1:84: expected a string or null")),
        (with(r#""env": {"A=": "1"}"#), format!("{node}.env[\"A=\"] at ci.json:1:83: the variable name \"A=\" holds a `=`")),
        (with(r#""env": {"": "1"}"#), "the variable name \"\" is empty".into()),
        (with(r#""env": {"A": "1", "A": "2"}"#), format!("{node}.env.A at ci.json:1:93: \"A\" is given twice")),
        (with(r#""env": {"A": "x\u0000y"}"#), format!("{node}.env.A at ci.json:1:90: must not hold a NUL character")),
        (with(r#""env": {"A\u0000": "y"}"#), "holds a NUL character".into()),
        (with(r#""env": {"A\nB": "y"}"#), "the variable name \"A\\nB\" holds a line end".into()),
        (with(r#""env": []"#), "expected an object of strings, found an array".into()),
        (with(r#""cache": "forever""#), format!("{node}.cache at ci.json:1:84: expected an object with a policy, or null")),
        (with(r#""cache": {"key": "x"}"#), format!("{node}.cache.policy at ci.json:1:84: missing, expected a string")),
        (with(r#""cache": {"policy": "ttl", "key": 5}"#), format!("{node}.cache.key at ci.json:1:109: expected a string or null")),
        (with(r#""label": "\ud800""#), format!("{node}.label at ci.json:1:85: the escape \\ud800 is half of a surrogate pair")),
        (with(r#""label": "\\ud800\udc00""#), "ci.json:1:92: the escape \\udc00 is half".into()),
        (with(r#""wat": "\udfff""#), "ci.json:1:83: the escape \\udfff is half".into()),
        (document(r#"{"step": {"key": "a", "cmd": "x\u0000"}, "env": {}}"#, ""), format!("{node}.cmd at ci.json:1:69: must not hold a NUL character (step a)")),
        (document(r#"{"step": {"cmd": "x"}, "env": {}}"#, ""), format!("{node}.key at ci.json:1:47: missing, expected a string")),
        (document(r#"{"step": {"key": "a", "cmd": "x"}}"#, ""), "graph.nodes[0].env at ci.json:1:38: missing, expected an object of strings (step a)".into()),
        (document(r#"{"env": {}}"#, ""), format!("{node} at ci.json:1:38: missing, expected an object with key and cmd")),
        (document("5", ""), "graph.nodes[0] at ci.json:1:38: expected an object with step and env, found the number 5".into()),
        (document(A, "null"), "graph.edges[0] at ci.json:1:128: holes are not supported, found null".into()),
        (document(A, "[0, 0]"), "expected two node numbers and a kind, found 2 elements".into()),
        (document(A, r#"[-1, 0, "builds_in"]"#), "graph.edges[0][0] at ci.json:1:129: node -1 does not exist (1 node)".into()),
        (document(A, r#"[0.5, 0, "builds_in"]"#), "expected a node number, found the number 0.5".into()),
        (document(A, r#"[0, 4294967296, "builds_in"]"#), "node 4294967296 does not exist".into()),
        (document(A, "[0, 0, 5]"), "expected the edge kind \"builds_in\" or \"depends_on\", found the number 5".into()),
        (r#"{"version": 0, "graph": {"nodes": [], "edge_property": "directed", "edges": []}}"#.into(), "version at ci.json:1:13: expected the string \"0\", found the number 0".into()),
        (r#"{"graph": {"nodes": [], "edges": []}}"#.into(), "graph.edge_property at ci.json:1:11: missing, expected the string \"directed\"".into()),
        (r#"{"graph": {"nodes": [], "edge_property": "directed"}}"#.into(), "graph.edges at ci.json:1:11: missing, expected an array of edges".into()),
        (r#"{"graph": []}"#.into(), "graph at ci.json:1:11: expected an object with nodes and edges, found an array".into()),
        ("{}".into(), "graph at ci.json:1:1: missing, expected an object with nodes and edges (hint: a bare document has".into()),
        ("[]".into(), "ci.json:1:1: expected an object (a pipeline document), found an array".into()),
        ("".into(), "ci.json:1:1: the document is empty".into()),
        (" \n\n".into(), "the document is empty".into()),
        ("hello\n{}".into(), "ci.json:1:1: not JSON: begins with \"hello\" (hint: often a `print`".into()),
        ("{\"a\": 1,}".into(), "ci.json:1:9: not JSON: ".into()),
        ("{\"a\":\n  'x'}".into(), "ci.json:2:3: not JSON: expected value".into()),
        ("{\"a\": \"x".into(), "not JSON: EOF while parsing a string".into()),
        (r#"{"schema_version": "2", "pipelines": []}"#.into(), "schema_version at ci.json:1:20: unknown envelope version \"2\"; this hm reads \"1\"".into()),
        (r#"{"schema_version": 1, "pipelines": []}"#.into(), "expected the string \"1\", found the number 1".into()),
        (r#"{"pipelines": []}"#.into(), "schema_version at ci.json:1:1: missing".into()),
        (r#"{"schema_version": "1"}"#.into(), "pipelines at ci.json:1:1: missing, expected an array of pipelines".into()),
        (r#"{"schema_version": "1", "pipelines": [{"definition": {"graph": {"nodes": [], "edges": [], "edge_property": "directed"}}}]}"#.into(), "pipelines[0].slug at ci.json:1:39: missing, expected a string".into()),
        (r#"{"schema_version": "1", "pipelines": [{"slug": "a"}]}"#.into(), "pipelines[0].definition at ci.json:1:39: missing, expected a bare document".into()),
    ]
    .into();
    let mut wrong: Vec<String> = Vec::new();
    for (text, expected) in table {
        let told = faults(&text);
        assert_eq!(told.len(), 1, "{text}\n{told:#?}");
        if !told[0].contains(&expected) {
            wrong.push(format!("{text}\n  told {}\n  want {expected}\n", told[0]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_faults_are_told_at_once_in_the_documents_order() {
    let text = "\u{feff}{\"version\": \"7\", \"timeout_seconds\": 0, \"graph\": {\"nodes\": [\n\
        {\"step\": {\"key\": \"a\", \"label\": \"One\"}, \"env\": {\"N\": 1}},\n\
        {\"step\": {\"key\": \"a\", \"cmd\": \"\\udc00\"}, \"env\": {}},\n\
        null],\n\
        \"node_holes\": [1], \"edge_property\": \"undirected\",\n\
        \"edges\": [[0, 1, \"builds_in\"], [1, 0, \"after\"], [2, 1, \"builds_in\"], [1, 7, \"depends_on\"], [1, 1, \"depends_on\"]]}}\n\
        done\n";
    let told = faults(text);
    let places: Vec<_> = told.iter().map(|t| t.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "ci.json:1:1",
            "version at ci.json:1:14",
            "timeout_seconds at ci.json:1:38",
            "graph.nodes[0].step.cmd at ci.json:2:10",
            "graph.nodes[0].env.N at ci.json:2:53",
            "graph.nodes[1].step.key at ci.json:3:18",
            "graph.nodes[1].step.cmd at ci.json:3:31",
            "graph.nodes[2] at ci.json:4:1",
            "graph.node_holes at ci.json:5:15",
            "graph.edge_property at ci.json:5:37",
            "graph.edges[1][2] at ci.json:6:39",
            "graph.edges[2] at ci.json:6:49",
            "graph.edges[3][1] at ci.json:6:74",
            "graph.edges[4] at ci.json:6:92",
            "ci.json:7:1",
        ]
    );
    assert!(told[5].contains("duplicate key \"a\": nodes 0 and 1 (labels \"One\" and none)"));
    assert!(told[11].contains("step a builds in both a and node 2"));
}

#[test]
fn a_problem_reads_well_at_eighty_columns() {
    let text = with(r#""timeout_seconds": 0, "image": "", "env": {"A": 1}"#);
    let error = parse(&text).unwrap_err().to_string();
    assert_eq!(
        error,
        "\
3 problems in ci.json (pipeline ci)
graph.nodes[0].step.timeout_seconds at ci.json:1:94: timeout must be a whole
  number of seconds from 1 to 4294967295, found the number 0 (step a)
graph.nodes[0].step.image at ci.json:1:106: empty image name \"\" (step a)
graph.nodes[0].step.env.A at ci.json:1:123: expected a string, found the number
  1 (step a)"
    );
}

#[test]
fn foreign_text_cannot_draw_on_the_terminal() {
    let text = document(
        r#"{"step": {"key": "\u001b[31mred\u202e", "cmd": 1}, "env": {}}"#,
        "",
    );
    let told = faults(&text);
    assert!(
        told[0].ends_with("(step \"\\u{1b}[31mred\\u{202e}\")"),
        "{told:?}"
    );
}

#[test]
fn what_is_allowed_passes() {
    for text in [
        with(
            r#""label": null, "image": null, "env": null, "timeout_seconds": null, "cache": null, "runner": null, "runner_args": null"#,
        ),
        with(
            r#""label": "\ud83d\ude80", "timeout_seconds": 4294967295, "runner_args": {"x": [1.5, {"y": null}]}"#,
        ),
        document(
            &format!("{A}, {B}"),
            r#"[0, 1, "builds_in"], [0, 1, "builds_in"], [0, 1, "depends_on"]"#,
        ),
        document(r#"{"step": {"key": "", "cmd": ""}, "env": {}}"#, ""),
    ] {
        let checked = parse(&text).unwrap();
        assert_eq!(checked.warnings, [], "{text}");
    }
    let plan = parse(&document(
        &format!("{A}, {B}"),
        r#"[0, 1, "builds_in"], [0, 1, "builds_in"], [0, 1, "depends_on"]"#,
    ))
    .unwrap()
    .plan;
    assert_eq!(plan.edges.len(), 2);
}

#[test]
fn what_a_policy_carries_is_kept_as_it_is() {
    let plan = parse(&with(
        r#""cache": {"policy": "ttl", "duration_seconds": 0.5, "key": "K", "more": [1]}"#,
    ))
    .unwrap()
    .plan;
    let cache = plan.steps[0].cache.clone().unwrap();
    assert_eq!(
        cache.document.to_string(),
        r#"{"policy":"ttl","duration_seconds":0.5,"key":"K","more":[1]}"#
    );
}

#[test]
fn runners_and_secrets_are_listed_with_their_places() {
    let text = document(
        r#"{"step": {"key": "a", "cmd": "x", "runner": "gpu", "env": {"B": "plain", "C": "hm-secret:TWO"}}, "env": {"A": "hm-secret:ONE", "B": "hm-secret:GONE"}}"#,
        "",
    );
    let references = parse(&text).unwrap().references;
    let targets: Vec<_> = references
        .iter()
        .map(|reference| reference.target.clone())
        .collect();
    let secret = |variable: &str, secret: &str| Target::Secret {
        variable: variable.to_owned(),
        secret: secret.to_owned(),
    };
    assert_eq!(
        targets,
        [
            secret("A", "ONE"),
            secret("C", "TWO"),
            Target::Runner("gpu".into())
        ]
    );
    assert!(
        references[2]
            .place
            .to_string()
            .starts_with("graph.nodes[0].step.runner at ci.json:1:")
    );
}

#[test]
fn an_envelope_judges_each_definition_by_itself() {
    let good = document(A, "");
    let bad = document(&format!("{A}, {A}"), "");
    let entry = |slug: &str, definition: &str| {
        format!(r#"{{"slug": "{slug}", "definition": {definition}}}"#)
    };
    let envelope = |entries: &[String]| {
        format!(
            r#"{{"schema_version": "1", "pipelines": [{}]}}"#,
            entries.join(", ")
        )
    };
    let source = Source::new("ci.json", envelope(&[entry("x", &good), entry("y", &bad)]));
    let document = ir::parse(&source, "unused", DEFAULT_IMAGE).unwrap();
    assert_eq!(document.shape, Shape::Envelope);
    assert!(document.pipelines[0].checked.is_ok());
    let problems = document.pipelines[1].checked.as_ref().unwrap_err();
    let place = problems[0].place.as_ref().unwrap();
    assert_eq!(
        place.field,
        "pipelines[1].definition.graph.nodes[1].step.key"
    );
    let told = faults(&envelope(&[entry("x", &good), entry("x", &bad)]));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("slug \"x\" is used twice: pipelines 0 and 1"),
        "{told:?}"
    );
}

/// Returns a document of `count` steps with the given edges.
fn large(count: usize, edges: impl Iterator<Item = (usize, usize, &'static str)>) -> String {
    let nodes: Vec<String> = (0..count)
        .map(|i| format!(r#"{{"step": {{"key": "step-{i}", "cmd": "echo é {i}", "colour": 1}}, "env": {{"A": "1"}}}}"#))
        .collect();
    let edges: Vec<String> = edges
        .map(|(a, b, kind)| format!(r#"[{a}, {b}, "{kind}"]"#))
        .collect();
    document(&nodes.join(", "), &edges.join(", "))
}

#[test]
fn twenty_thousand_steps_in_one_chain() {
    let checked = parse(&large(20_000, (1..20_000).map(|i| (i - 1, i, "builds_in")))).unwrap();
    assert_eq!(
        (checked.plan.steps.len(), checked.plan.edges.len()),
        (20_000, 19_999)
    );
    assert_eq!(checked.unknown_fields.len(), 20_000);
}

#[test]
fn a_layer_of_a_thousand_on_a_thousand() {
    let edges = (0..300).flat_map(|a| (300..600).map(move |b| (a, b, "depends_on")));
    let edges = edges.chain((600..20_000).map(|i| (599, i, "depends_on")));
    assert_eq!(
        parse(&large(20_000, edges)).unwrap().plan.edges.len(),
        90_000 + 19_400
    );
}

#[test]
fn a_cycle_of_twenty_thousand_steps_is_told_in_short() {
    let told = faults(&large(
        20_000,
        (0..20_000).map(|i| (i, (i + 1) % 20_000, "depends_on")),
    ));
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("cycle: step-0 → step-1 → "), "{told:?}");
    assert!(
        told[0].contains("(19988 more) → step-0 (depends_on, "),
        "{told:?}"
    );
}

#[test]
fn a_tangle_ends_and_a_flood_of_problems_is_cut() {
    let all = (0..200).flat_map(|a| (0..200).map(move |b| (a, b, "depends_on")));
    let told = faults(&large(200, all));
    assert!((1..=200).contains(&told.len()), "{}", told.len());
    let nodes = vec!["5"; 20_000].join(", ");
    let error = parse(&document(&nodes, "")).unwrap_err();
    assert_eq!(error.problems().len(), 20_000);
    assert!(error.to_string().ends_with("and 19900 more"));
}

#[test]
fn hostile_nesting_is_refused() {
    for open in ["[", "{\"a\":", "{\"graph\": [", "[[[["] {
        let told = faults(&open.repeat(500_000));
        assert!(told[0].contains("nested deeper than 64 levels"), "{told:?}");
    }
    let deep = with(&format!(
        r#""runner_args": {}1{}"#,
        "[".repeat(200),
        "]".repeat(200)
    ));
    assert!(faults(&deep)[0].contains("nested deeper than 64 levels"));
    assert!(parse(&with(r#""label": "[[[[ not nesting \" [[[[""#)).is_ok());
}

#[test]
fn no_damage_to_a_document_is_a_panic() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/pipelines");
    let json = std::fs::read_to_string(folder.join("wire-extras.json")).unwrap();
    let toml = "image = \"é\"\nenv = { A = \"1\" }\n[steps.a]\nrun = \"x\\u0041\"\nneeds = [\"b\"]\n\
                cache = { all = [{ ttl = \"1d\" }, \"forever\"] }\n[steps.b]\nrun = \"y\"\n";
    let root = std::path::Path::new("/nonexistent");
    let keys = hm_pipeline::KeyInputs {
        org: "o",
        now: 1,
        root,
    };
    let check = |bytes: Vec<u8>| {
        let Ok(source) = Source::from_bytes("x", bytes) else {
            return;
        };
        if let Err(error) = ir::parse(&source, "x", DEFAULT_IMAGE) {
            assert!(!error.to_string().is_empty());
        }
        let pipeline = hm_pipeline::toml::parse(&source, "x", DEFAULT_IMAGE, &keys);
        assert_ne!(pipeline.checked.err(), Some(Vec::new()));
    };
    let pieces: [&[u8]; 10] = [
        b"",
        b"\"",
        b"\\",
        b"{",
        b"]",
        b"null",
        b"\\u0000",
        b"\\ud800",
        b"-1",
        "é".as_bytes(),
    ];
    for text in [json.as_bytes(), toml.as_bytes()] {
        for at in 0..text.len() {
            check(text[..at].to_vec());
            let piece = pieces[at % pieces.len()];
            for cut in [0, 1, 5] {
                check([&text[..at], piece, &text[(at + cut).min(text.len())..]].concat());
            }
        }
    }
}

//! TOML pipelines: what they mean, and what is said about faults in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hm_pipeline::ir::DEFAULT_IMAGE;
use hm_pipeline::{Checked, KeyInputs, PipelineError, Source, Target, toml};
use hm_plugin_protocol::{EdgeKind, Network};

/// The clock at which the samples were rendered.
const NOW: u64 = 1_750_000_000;

fn parse_in(text: &str, slug: &str, root: &Path) -> Result<Checked, PipelineError> {
    let source = Source::new(".hm/ci.toml", text);
    let keys = KeyInputs {
        org: "default",
        now: NOW,
        root,
    };
    toml::parse(&source, slug, DEFAULT_IMAGE, &keys)
        .checked(&source)
        .cloned()
}

fn parse(text: &str) -> Result<Checked, PipelineError> {
    parse_in(text, "ci", Path::new("/nonexistent"))
}

/// Returns each problem of the document as one line.
fn faults(text: &str) -> Vec<String> {
    let error = parse(text).expect_err(text);
    assert_eq!(error.kind().exit_code(), 7);
    error.problems().iter().map(ToString::to_string).collect()
}

const EXAMPLE: &str = r#"
image = "host"
timeout = "30m"
network = "public"
env = { RUST_BACKTRACE = "1", WHO = "pipeline" }

[steps.test]
from = "build"
needs = ["lint", "lint"]
run = "make test"
timeout = 600
label = "All tests"
env = { WHO = "step" }

[steps.build]
run = "make"

[steps.lint]
needs = ["build"]
run = "make lint"
network = "none"
image = "alpine:3.20"
timeout = "1h30m"
"#;

#[test]
fn a_document_becomes_a_plan_in_its_own_order() {
    let plan = parse(EXAMPLE).unwrap().plan;
    let keys: Vec<_> = plan.steps.iter().map(|s| s.key.as_str()).collect();
    assert_eq!(keys, ["test", "build", "lint"]);
    let edges: Vec<_> = plan
        .edges
        .iter()
        .map(|e| (e.before, e.after, e.kind))
        .collect();
    use EdgeKind::{BuildsIn, DependsOn};
    assert_eq!(
        edges,
        [(1, 0, BuildsIn), (2, 0, DependsOn), (1, 2, DependsOn)]
    );
    let [test, build, lint] = plan.steps.as_slice() else {
        panic!()
    };
    assert_eq!(test.image, None);
    assert_eq!(build.image.as_deref(), Some("host"));
    assert_eq!(lint.image.as_deref(), Some("alpine:3.20"));
    assert_eq!(test.network, Some(Network::Public));
    assert_eq!(lint.network, Some(Network::None));
    assert_eq!(
        (test.env["WHO"].as_str(), build.env["WHO"].as_str()),
        ("step", "pipeline")
    );
    assert_eq!(test.timeout.unwrap().as_secs(), 600);
    assert_eq!(lint.timeout.unwrap().as_secs(), 5400);
    assert_eq!(plan.timeout.unwrap().as_secs(), 1800);
    assert_eq!(test.display_name(), "All tests");
}

#[test]
fn cache_keys_are_those_of_the_dsl() {
    let samples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/pipelines");
    let text = r#"
[steps.forever-base]
run = "echo base > base.txt"
cache = "forever"
[steps.ttl-day]
from = "forever-base"
run = "date -u +%F > day.txt"
cache = { ttl = "1d" }
[steps.never-cached]
from = "ttl-day"
run = "test -s day.txt"
cache = "none"
[steps.on-deep-glob]
from = "forever-base"
run = "find src -name '*.txt' | sort > list.txt"
cache = { on_change = ["**/*.txt"] }
[steps.on-a-missing-path]
from = "forever-base"
run = "echo nothing to watch"
cache = { on_change = ["no/such/file"] }
[steps.on-one-file]
from = "forever-base"
run = "cp deps.lock installed.lock"
cache = { on_change = ["deps.lock"] }
[steps.on-file-glob-and-directory]
from = "on-one-file"
run = "cat conf/*.ini src/a.txt > merged.txt"
cache = { on_change = ["VERSION", "conf/*.ini", "src"] }
[steps.compose]
from = "on-file-glob-and-directory"
run = "cat merged.txt VERSION > bundle.txt"
cache = { all = [{ ttl = "7d" }, { on_change = ["VERSION", "src"] }] }
[steps.nested-compose]
from = "compose"
run = "wc -c bundle.txt"
cache = { all = [{ all = ["forever", "none"] }, { on_change = ["deps.lock"] }] }
"#;
    let checked = parse_in(text, "cache-policies", &samples.join("tree")).unwrap();
    let name = samples.join("cache-policies.json");
    let source = Source::read(&name, "cache-policies.json").unwrap();
    let document = hm_pipeline::ir::parse(&source, "x", DEFAULT_IMAGE).unwrap();
    let rendered = document.pipelines[0].checked.as_ref().unwrap();
    let expected: BTreeMap<_, _> = rendered
        .plan
        .steps
        .iter()
        .map(|s| (&s.key, &s.cache))
        .collect();
    assert_eq!(checked.plan.steps.len(), 9);
    for step in &checked.plan.steps {
        assert_eq!(&step.cache, expected[&step.key], "{}", step.key);
    }
    let warnings: Vec<_> = checked.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["steps.on-a-missing-path.cache at .hm/ci.toml:20:9: \"no/such/file\" matches no file"]
    );
}

#[test]
fn a_glob_watches_what_steps_can_see() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let key = || {
        let text = "[steps.a]\nrun = \"true\"\ncache = { on_change = [\"src/**\"] }";
        let plan = parse_in(text, "ci", folder.path()).unwrap().plan;
        plan.steps[0].cache.clone().unwrap().key.unwrap()
    };
    write("src/deep/er/a.rs", "one");
    write(".gitignore", "*.log\n");
    let first = key();
    write("src/noise.log", "noise");
    write("other.rs", "not watched");
    assert_eq!(key(), first, "ignored and other files do not count");
    write("src/deep/er/a.rs", "two");
    let second = key();
    assert_ne!(second, first, "a watched file counts");
    write("src/.hidden", "");
    assert_ne!(key(), second, "a new hidden file counts");
}

#[test]
fn secrets_and_runners_are_listed_with_their_places() {
    let checked = parse(
        "runner = \"gpu\"\nenv = { A = \"hm-secret:ONE\", B = \"hm-secret:TWO\" }\n\
         [steps.a]\nrun = \"true\"\nenv = { A = \"plain\" }",
    )
    .unwrap();
    let found: Vec<_> = checked
        .references
        .iter()
        .map(|r| (&r.target, r.place.to_string()))
        .collect();
    let secret = Target::Secret {
        variable: "B".into(),
        secret: "TWO".into(),
    };
    let runner = Target::Runner("gpu".into());
    assert_eq!(
        found,
        [
            (&secret, "env.B at .hm/ci.toml:2:34".to_owned()),
            (&runner, "runner at .hm/ci.toml:1:10".to_owned()),
        ]
    );
}

#[test]
fn each_fault_is_told_with_its_place() {
    let table: &[(&str, &str)] = &[
        (
            "imag = \"host\"\n[steps.a]\nrun = \"x\"",
            "imag at .hm/ci.toml:1:1: unknown field \"imag\" (hint: did you mean `image`?)",
        ),
        (
            "[steps.a]\nrunn = \"x\"\nrun = \"x\"",
            "steps.a.runn at .hm/ci.toml:2:1: unknown field \"runn\" (hint: did you mean `run`?)",
        ),
        (
            "[steps.a]\nrun = \"x\"\nwibble = 1",
            "steps.a.wibble at .hm/ci.toml:3:1: unknown field \"wibble\" (hint: known here: run, from,",
        ),
        (
            "[steps.a]\nlabel = \"x\"",
            "steps.a.run at .hm/ci.toml:1:8: missing, expected a command",
        ),
        (
            "[steps.a]\nrun = 1",
            "steps.a.run at .hm/ci.toml:2:7: expected a string, found the number 1",
        ),
        (
            "[steps]\na = \"make\"",
            "steps.a at .hm/ci.toml:2:5: expected a table with `run`, found the string \"make\"",
        ),
        (
            "image = \"\"\n[steps.a]\nrun = \"x\"",
            "image at .hm/ci.toml:1:9: empty image name \"\"",
        ),
        (
            "timeout = 0\n[steps.a]\nrun = \"x\"",
            "timeout at .hm/ci.toml:1:11: expected a length of time",
        ),
        (
            "timeout = \"5 minutes\"\n[steps.a]\nrun = \"x\"",
            "found the string \"5 minutes\"",
        ),
        (
            "timeout = \"200000d\"\n[steps.a]\nrun = \"x\"",
            "timeout must be at most 4294967295 seconds",
        ),
        (
            "network = \"lan\"\n[steps.a]\nrun = \"x\"",
            "network at .hm/ci.toml:1:11: unknown network \"lan\", expected \"none\", \"public\" or \"host\"",
        ),
        (
            "env = { N = 1 }\n[steps.a]\nrun = \"x\"",
            "env.N at .hm/ci.toml:1:13: expected a string, found the number 1",
        ),
        (
            "env = { \"A=B\" = \"\" }\n[steps.a]\nrun = \"x\"",
            "env[\"A=B\"] at .hm/ci.toml:1:9: the variable name \"A=B\" holds a `=`",
        ),
        (
            "[steps.a]\nrun = \"a\\u0000b\"",
            "steps.a.run at .hm/ci.toml:2:7: must not hold a NUL character",
        ),
        (
            "[steps.build]\nrun = \"x\"\n[steps.b]\nrun = \"x\"\nfrom = \"biuld\"",
            "steps.b.from at .hm/ci.toml:5:8: there is no step \"biuld\" (hint: did you mean \"build\"?)",
        ),
        (
            "[steps.b]\nrun = \"x\"\nneeds = [\"zzz\"]",
            "steps.b.needs[0] at .hm/ci.toml:3:10: there is no step \"zzz\"",
        ),
        (
            "[steps.b]\nrun = \"x\"\nneeds = \"a\"",
            "steps.b.needs at .hm/ci.toml:3:9: expected an array of step names, found the string \"a\"",
        ),
        (
            "[steps.a]\nrun = \"x\"\nneeds = [\"c\"]\n[steps.b]\nrun = \"x\"\nfrom = \"a\"\n[steps.c]\nrun = \"x\"\nneeds = [\"b\"]",
            "cycle: a → b → c → a (builds_in, depends_on, depends_on)",
        ),
        (
            "[steps.a]\nrun = \"x\"\n[steps.b]\nrun = \"x\"\nfrom = \"a\"\nimage = \"host\"",
            "steps.b.image at .hm/ci.toml:6:1: a step with `from` has no image: it boots from what a left behind",
        ),
        (
            "[steps.a]\nrun = \"x\"\n[steps.b]\nrun = \"x\"\nfrom = \"a\"\ncache = \"forever\"",
            "steps.b.cache at .hm/ci.toml:6:9: cannot be cached: it builds on a, which has no cache (hint: give a a `cache` too)",
        ),
        (
            "[steps.a]\nrun = \"x\"\ncache = \"always\"",
            "steps.a.cache at .hm/ci.toml:3:9: unknown cache policy \"always\"",
        ),
        (
            "[steps.a]\nrun = \"x\"\ncache = { on_chnge = [] }",
            "unknown field \"on_chnge\" (hint: did you mean `on_change`?)",
        ),
        (
            "[steps.a]\nrun = \"x\"\ncache = { on_change = [\"../x\"] }",
            "steps.a.cache.on_change[0] at .hm/ci.toml:3:24: cannot watch \"../x\": it must stay within the project",
        ),
        (
            "[steps.a]\nrun = \"x\"\ncache = { on_change = [\"a[\"] }",
            "cannot watch \"a[\"",
        ),
        (
            "[steps.a]\nrun = \"x\"\ncache = { ttl = \"0s\" }",
            "steps.a.cache.ttl at .hm/ci.toml:3:17: expected a length of time",
        ),
        (
            "[steps.a]\nrun = \"x\"\ncache = { ttl = \"1d\", on_change = [\"a\"] }",
            "expected one policy, found 2 (hint: put several into { all = [...] })",
        ),
        (
            "image = \"host\"",
            "steps at .hm/ci.toml:1:1: missing, expected a table of steps",
        ),
        (
            "[steps.a]\nrun = \"x\"\nrun = \"y\"",
            ".hm/ci.toml:3:1: not TOML: duplicate key",
        ),
        ("[steps.a\nrun = \"x\"", "not TOML: "),
    ];
    for (text, expected) in table {
        let told = faults(text);
        assert_eq!(told.len(), 1, "{text}\n{told:#?}");
        assert!(
            told[0].contains(expected),
            "{text}\n{}\n{expected}",
            told[0]
        );
    }
}

#[test]
fn all_faults_are_told_at_once_in_order() {
    let told = faults(
        "timeout = -1\nimagee = \"x\"\n[steps.a]\nrun = 1\nneeds = [\"b\", 2]\n[steps.c]\nrun = \"x\"\nfrom = \"d\"\n",
    );
    let places: Vec<_> = told
        .iter()
        .map(|t| t.split(" at ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "timeout",
            "imagee",
            "steps.a.run",
            "steps.a.needs[0]",
            "steps.a.needs[1]",
            "steps.c.from"
        ]
    );
}

#[test]
fn no_steps_is_a_warning() {
    let checked = parse("[steps]").unwrap();
    assert!(checked.warnings[0].to_string().contains("no steps"));
}

#[test]
fn twenty_thousand_steps_in_one_chain() {
    let mut text = String::new();
    for i in 0..20_000 {
        text.push_str(&format!(
            "[steps.s{i}]\nrun = \"true\"\ncache = \"forever\"\n"
        ));
        if i > 0 {
            text.push_str(&format!("from = \"s{}\"\n", i - 1));
        }
    }
    let plan = parse(&text).unwrap().plan;
    assert_eq!((plan.steps.len(), plan.edges.len()), (20_000, 19_999));
    assert!(plan.steps[19_999].is_cacheable());
    let cyclic = text.replacen("run = \"true\"", "run = \"true\"\nneeds = [\"s19999\"]", 1);
    let told = faults(&cyclic);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("(19988 more) → s"), "{told:?}");
}

#[test]
fn hostile_nesting_is_refused() {
    let text = format!(
        "[steps.a]\nrun = \"x\"\ncache = {}",
        "{ all = [".repeat(50_000)
    );
    assert!(faults(&text)[0].contains("not TOML"));
    let text = format!("a{} = 1", ".a".repeat(50_000));
    assert!(!faults(&text).is_empty());
}

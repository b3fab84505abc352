//! Which pipelines a project has, and which one is chosen.

use std::path::Path;
use std::time::Duration;

use hm_pipeline::ir::DEFAULT_IMAGE;
use hm_pipeline::project::{Catalog, Inputs, Project, Rendered, empty_envelope};
use hm_pipeline::python::Python;
use hm_pipeline::{ErrorKind, PipelineError, Source};

const TOML: &str = "[steps.build]\nrun = \"make\"\n";
const BARE: &str = r#"{"version": "0", "graph": {"nodes": [{"step": {"key": "a", "cmd": "true"}, "env": {}}], "edge_property": "directed", "edges": []}}"#;

/// Returns inputs in which Python is not there.
fn inputs() -> Inputs {
    Inputs {
        python: Python {
            executable: "/nonexistent/python3".into(),
            env: Vec::new(),
            timeout: Duration::from_secs(60),
        },
        org: "default".to_owned(),
        now: 1_750_000_000,
        default_image: DEFAULT_IMAGE.to_owned(),
    }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn catalog(folder: &Path) -> Result<Catalog, PipelineError> {
    Project::find(folder)?.catalog(&inputs())
}

fn choose(files: &[(&str, &str)], slug: Option<&str>) -> Result<Rendered, PipelineError> {
    catalog(folder(files).path())?.choose(slug)
}

fn told(result: Result<Rendered, PipelineError>, kind: ErrorKind) -> String {
    let error = result.expect_err("a fault");
    assert_eq!(error.kind(), kind, "{error}");
    error.to_string()
}

#[test]
fn a_project_is_found_from_a_subfolder() {
    let folder = folder(&[(".hm/ci.toml", TOML), ("src/deep/a.rs", "")]);
    let project = Project::find(&folder.path().join("src/deep")).unwrap();
    assert_eq!(project.root(), folder.path().canonicalize().unwrap());
    let rendered = project.catalog(&inputs()).unwrap().choose(None).unwrap();
    assert_eq!(
        (rendered.slug.as_str(), rendered.file.as_str()),
        ("ci", ".hm/ci.toml")
    );
    assert_eq!(rendered.plan.pipeline, "ci");
}

#[test]
fn without_a_folder_or_pipelines_the_remedy_is_told() {
    let error = told(choose(&[("a", "")], None), ErrorKind::Usage);
    assert!(
        error.contains("there is no `.hm/` folder in /") && error.contains("hm init"),
        "{error}"
    );
    let error = told(choose(&[(".hm/config.toml", "")], None), ErrorKind::Usage);
    assert!(error.contains("there is no pipeline in `.hm/`"), "{error}");
    assert_eq!(
        empty_envelope(),
        r#"{"schema_version": "1", "pipelines": []}"#
    );
}

#[test]
fn all_kinds_are_listed_and_chosen_by_slug() {
    let envelope = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/pipelines/multi-pipeline.json"),
    )
    .unwrap();
    let files = [
        (".hm/a.toml", TOML),
        (".hm/b.json", BARE),
        (".hm/many.json", &envelope),
        (".hm/package.json", "{}"),
    ];
    let folder = folder(&files);
    let catalog = catalog(folder.path()).unwrap();
    let listed: Vec<_> = catalog
        .pipelines()
        .map(|p| format!("{} {}", p.slug, p.file))
        .collect();
    assert_eq!(
        listed,
        [
            "a .hm/a.toml",
            "b .hm/b.json",
            "ci .hm/many.json",
            "release .hm/many.json",
            "labels-2 .hm/many.json",
            "nightly .hm/many.json",
            "empty-triggers .hm/many.json"
        ]
    );
    let ci = catalog.choose(Some("ci")).unwrap();
    assert_eq!(ci.name, "Continuous integration");
    assert_eq!(ci.warnings, []);
    assert_eq!(catalog.choose(Some("b")).unwrap().definition, BARE);
}

#[test]
fn an_ambiguous_or_unknown_slug_lists_what_there_is() {
    let files = [(".hm/build.toml", TOML), (".hm/test.toml", TOML)];
    let error = told(choose(&files, None), ErrorKind::Usage);
    assert_eq!(
        error,
        "`.hm/` has several pipelines: build, test\n  hint: name one, as in `hm run build`"
    );
    let error = told(choose(&files, Some("biuld")), ErrorKind::Usage);
    assert_eq!(
        error,
        "there is no pipeline \"biuld\" in `.hm/`\n  hint: did you mean `build`? There are: build, test"
    );
}

#[test]
fn the_same_slug_in_two_files_names_both() {
    let files = [
        (".hm/ci.toml", TOML),
        (".hm/ci.json", BARE),
        (".hm/other.toml", TOML),
    ];
    let error = told(choose(&files, Some("ci")), ErrorKind::Invalid);
    assert!(
        error.contains("the slug \"ci\" is used by .hm/ci.json and .hm/ci.toml"),
        "{error}"
    );
    let other = choose(&files, Some("other")).unwrap();
    assert_eq!(other.warnings.len(), 1, "{:?}", other.warnings);
}

#[test]
fn only_the_chosen_file_is_judged() {
    let files = [
        (".hm/good.toml", TOML),
        (".hm/bad.toml", "[steps.a]\nrunn = 1\n"),
        (".hm/worse.json", "Loading\n{}"),
    ];
    let good = choose(&files, Some("good")).unwrap();
    let warnings: Vec<_> = good.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            ".hm/worse.json was left out: .hm/worse.json:1:1: not JSON: begins with \"Loading\" \
          (hint: often a `print` in a pipeline file: print to standard error instead)"
        ]
    );
    let error = told(choose(&files, Some("bad")), ErrorKind::Invalid);
    assert_eq!(
        error,
        "2 problems in .hm/bad.toml (pipeline bad)\n\
         steps.a.run at .hm/bad.toml:1:8: missing, expected a command\n\
         steps.a.runn at .hm/bad.toml:2:1: unknown field \"runn\"\n  hint: did you mean `run`?"
    );
    let error = told(choose(&files, Some("worse")), ErrorKind::Invalid);
    assert!(
        error.starts_with("1 problem in .hm/worse.json\n.hm/worse.json:1:1: not JSON"),
        "{error}"
    );
}

#[test]
fn python_is_missed_only_where_it_is_needed() {
    let files = [(".hm/ci.toml", TOML), (".hm/deploy.py", "import harmont")];
    let ci = choose(&files, Some("ci")).unwrap();
    assert!(
        ci.warnings[0]
            .to_string()
            .contains("cannot run `/nonexistent/python3`"),
        "{:?}",
        ci.warnings
    );
    let error = told(choose(&files, Some("deploy")), ErrorKind::Unavailable);
    assert!(error.contains("install Python 3.11"), "{error}");
}

#[test]
fn typescript_is_not_supported() {
    let error = told(choose(&[(".hm/ci.ts", "")], None), ErrorKind::Usage);
    assert!(
        error.contains(".hm/ci.ts: TypeScript pipelines are not supported"),
        "{error}"
    );
    let both = choose(&[(".hm/ci.ts", ""), (".hm/ci.toml", TOML)], None).unwrap();
    assert_eq!(both.warnings.len(), 1);
}

#[test]
fn the_envelope_has_every_pipeline_that_is_in_order() {
    let folder = folder(&[
        (".hm/a.toml", TOML),
        (".hm/b.json", BARE),
        (".hm/c.toml", "[steps.x]\n"),
    ]);
    let (text, warnings) = catalog(folder.path()).unwrap().envelope();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let source = Source::new("again.json", text);
    let again = hm_pipeline::ir::parse(&source, "x", DEFAULT_IMAGE).unwrap();
    let slugs: Vec<_> = again.pipelines.iter().map(|p| p.slug.as_str()).collect();
    assert_eq!(slugs, ["a", "b"]);
    assert!(again.pipelines.iter().all(|p| p.checked.is_ok()));
    assert_eq!(again.pipelines[1].definition, BARE);
}

#[test]
fn a_single_document_needs_no_project() {
    let folder = folder(&[
        ("one.json", BARE),
        ("two.toml", TOML),
        ("three", TOML),
        ("four.ts", ""),
    ]);
    let of_file = |name: &str, slug| {
        Catalog::of_file(&folder.path().join(name), folder.path(), &inputs())?.choose(slug)
    };
    assert_eq!(of_file("one.json", None).unwrap().slug, "one");
    assert_eq!(of_file("two.toml", Some("two")).unwrap().slug, "two");
    assert_eq!(of_file("three", None).unwrap().plan.steps[0].key, "build");
    told(of_file("four.ts", None), ErrorKind::Usage);
    told(of_file("absent.toml", None), ErrorKind::Usage);
}

#[test]
fn standard_input_is_told_by_its_content() {
    let of_text = |text: &[u8], slug| {
        Catalog::of_stdin(text.to_vec(), Path::new("/"), &inputs())?.choose(slug)
    };
    assert_eq!(
        of_text(BARE.as_bytes(), None).unwrap().plan.pipeline,
        "default"
    );
    assert_eq!(
        of_text(TOML.as_bytes(), None).unwrap().plan.steps[0].command,
        "make"
    );
    let printed = told(
        of_text(format!("Loading\n{BARE}").as_bytes(), None),
        ErrorKind::Invalid,
    );
    assert!(
        printed.contains("<stdin>:1:1: not JSON: begins with \"Loading\""),
        "{printed}"
    );
    told(of_text(b"import harmont as hm\n", None), ErrorKind::Usage);
    let bytes = told(of_text(b"[steps]\n\xff", None), ErrorKind::Invalid);
    assert!(
        bytes.contains("<stdin>:2:1: the byte 0xff is not UTF-8"),
        "{bytes}"
    );
    let two = format!(
        r#"{{"schema_version": "1", "pipelines": [{{"slug": "a", "definition": {BARE}}}, {{"slug": "b", "definition": {BARE}}}]}}"#
    );
    let error = told(of_text(two.as_bytes(), None), ErrorKind::Usage);
    assert!(
        error.contains("standard input has several pipelines: a, b"),
        "{error}"
    );
    assert_eq!(of_text(two.as_bytes(), Some("b")).unwrap().slug, "b");
}

#[test]
fn runners_and_secrets_are_checked_on_demand() {
    let text = "env = { T = \"hm-secret:TOKEN\" }\n[steps.a]\nrun = \"x\"\nrunner = \"gpu\"\n";
    let rendered = choose(&[(".hm/ci.toml", text)], None).unwrap();
    rendered.check_runners(&["vm", "gpu"], "").unwrap();
    let error = rendered
        .check_runners(&["vm"], "use `--engine docker`")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "1 problem in .hm/ci.toml (pipeline ci)\n\
         steps.a.runner at .hm/ci.toml:4:10: step a wants runner \"gpu\"; available: vm\n  \
         hint: use `--engine docker`"
    );
    rendered.check_secrets(|name| name == "TOKEN").unwrap();
    let error = rendered.check_secrets(|_| false).unwrap_err().to_string();
    assert!(
        error.contains("env.T at .hm/ci.toml:1:13: T wants the secret \"TOKEN\""),
        "{error}"
    );
    assert!(error.contains("for this run with `-e`"), "{error}");
}

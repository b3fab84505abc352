//! Python pipelines, rendered by the DSL as it is installed.
//!
//! `HM_TEST_PYTHON` names a Python that has `harmont` 0.0.9; default `python3`. Where
//! neither has it, these tests say so and pass, unless `HM_TEST_REQUIRE_ALL` is set.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hm_pipeline::ErrorKind;
use hm_pipeline::python::{Python, PythonFile, RenderedFiles, Request};

const NOW: u64 = 1_750_000_000;

fn samples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/pipelines")
}

/// Returns a Python with the DSL, and the variables that the samples were made with.
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
fn python() -> Option<Python> {
    let executable = std::env::var_os("HM_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let has_dsl = Command::new(&executable)
        .args(["-c", "import harmont"])
        .output();
    if !has_dsl.is_ok_and(|output| output.status.success()) {
        let required = std::env::var_os("HM_TEST_REQUIRE_ALL").is_some();
        assert!(
            !required,
            "{} has no module `harmont`",
            executable.display()
        );
        eprintln!("skipped: {} has no module `harmont`", executable.display());
        return None;
    }
    let mut env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    env.push(("GOOS".into(), "linux".into()));
    env.push(("ARCH".into(), "x86_64".into()));
    Some(Python {
        executable: executable.into(),
        env,
        timeout: Duration::from_secs(60),
    })
}

/// A project folder with pipeline files.
struct Project(tempfile::TempDir);

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".hm")).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn render(&self, python: &Python, files: &[&str]) -> RenderedFiles {
        self.try_render(python, files).unwrap()
    }

    fn try_render(
        &self,
        python: &Python,
        files: &[&str],
    ) -> Result<RenderedFiles, hm_pipeline::PipelineError> {
        render(python, self.0.path(), files)
    }
}

fn render(
    python: &Python,
    root: &Path,
    files: &[&str],
) -> Result<RenderedFiles, hm_pipeline::PipelineError> {
    let named = files.iter().map(|name| PythonFile {
        name: name.to_string(),
        path: name.into(),
    });
    let files: Vec<PythonFile> = named.collect();
    python.render(&Request {
        root,
        files: &files,
        org: "default",
        now: NOW,
        default_image: "ubuntu:24.04",
    })
}

const GOOD: &str = "import harmont as hm\n\n@hm.pipeline(\"good\")\ndef good():\n    return hm.sh(\"true\", label=\"Good\")\n";

#[test]
fn the_samples_render_to_their_documents_byte_for_byte() {
    let Some(python) = python() else { return };
    let tree = samples().join("tree");
    let mut compared = 0;
    for entry in std::fs::read_dir(samples()).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        // One calls the factory instead of registering, one was edited by hand.
        let is_python = path.extension().is_some_and(|extension| extension == "py");
        if !is_python || matches!(stem.as_str(), "chain-200" | "wire-extras") {
            continue;
        }
        let rendered = render(&python, &tree, &[&format!("../{stem}.py")]).unwrap();
        let file = &rendered.files[0];
        assert_eq!(file.fault, None, "{stem}");
        let entries: Vec<_> = file
            .pipelines
            .iter()
            .map(|p| p.result.as_ref().unwrap())
            .collect();
        let whole: Vec<&str> = entries
            .iter()
            .map(|pipeline| pipeline.entry.as_str())
            .collect();
        let envelope = format!(
            "{{\"schema_version\": \"1\", \"pipelines\": [{}]}}",
            whole.join(", ")
        );
        let expected = std::fs::read_to_string(path.with_extension("json")).unwrap();
        let definition = &entries[0].definition;
        assert!(
            expected.trim_end() == envelope || expected.trim_end() == definition,
            "{stem}"
        );
        assert!(
            entries.iter().all(|pipeline| pipeline.checked.is_ok()),
            "{stem}"
        );
        compared += 1;
    }
    assert_eq!(compared, 12);
}

#[test]
fn what_a_file_prints_does_not_spoil_the_answer() {
    let Some(python) = python() else { return };
    let noisy = format!(
        "import os, subprocess, sys\nprint('hello')\nos.write(1, b'raw\\n')\n\
         sys.__stdout__.write('direct\\n')\nsubprocess.run(['echo', 'child'])\n{GOOD}"
    );
    let project = Project::new(&[(".hm/a.py", &noisy)]);
    let rendered = project.render(&python, &[".hm/a.py"]);
    assert_eq!(rendered.files[0].pipelines[0].slug, "good");
    for word in ["hello", "raw", "direct", "child"] {
        assert!(
            rendered.printed.contains(word),
            "{word}: {}",
            rendered.printed
        );
    }
    assert!(!project.0.path().join(".hm/__pycache__").exists());
}

#[test]
fn a_broken_file_does_not_take_the_others_along() {
    let Some(python) = python() else { return };
    let project = Project::new(&[
        (
            ".hm/a.py",
            "import harmont as hm\ndef deep():\n    return undefined_name\ndeep()\n",
        ),
        (".hm/b.py", "def broken(:\n"),
        (".hm/c.py", "raise SystemExit(3)\n"),
        (".hm/good.py", GOOD),
        (
            ".hm/late.py",
            "import harmont as hm\n@hm.pipeline(\"bad\")\ndef bad():\n    return 1 / 0\n@hm.pipeline(\"fine\")\ndef fine():\n    return hm.sh(\"true\")\n",
        ),
    ]);
    let names = [
        ".hm/a.py",
        ".hm/b.py",
        ".hm/c.py",
        ".hm/good.py",
        ".hm/late.py",
    ];
    let rendered = project.render(&python, &names);
    let faults: Vec<_> = rendered
        .files
        .iter()
        .map(|file| file.fault.as_ref().map(ToString::to_string))
        .collect();
    let [a, b, c, None, None] = faults.as_slice() else {
        panic!("{faults:?}")
    };
    assert_eq!(
        a.as_deref(),
        Some(
            ".hm/a.py:3:1: NameError: name 'undefined_name' is not defined\n\
             at .hm/a.py:4: deep()\nat .hm/a.py:3 in deep: return undefined_name"
        )
    );
    assert!(
        b.as_ref()
            .unwrap()
            .starts_with(".hm/b.py:1:1: SyntaxError: "),
        "{b:?}"
    );
    assert!(
        c.as_ref()
            .unwrap()
            .starts_with(".hm/c.py:1:1: SystemExit: 3"),
        "{c:?}"
    );
    let late = &rendered.files[4].pipelines;
    let fault = late[0].result.as_ref().unwrap_err().to_string();
    assert!(
        fault.starts_with(".hm/late.py:4:1: pipeline bad raised ZeroDivisionError"),
        "{fault}"
    );
    assert!(late[1].result.is_ok());
}

#[test]
fn the_same_slug_in_two_files_is_seen_in_both() {
    let Some(python) = python() else { return };
    let project = Project::new(&[(".hm/a.py", GOOD), (".hm/b.py", GOOD)]);
    let rendered = project.render(&python, &[".hm/a.py", ".hm/b.py"]);
    assert!(
        rendered
            .files
            .iter()
            .all(|f| f.fault.is_none() && f.pipelines[0].slug == "good")
    );
}

#[test]
fn a_file_can_import_from_the_project_root() {
    let Some(python) = python() else { return };
    let importing = format!(
        "from shared import LABEL\n{}",
        GOOD.replace("\"Good\"", "LABEL")
    );
    let project = Project::new(&[
        ("shared.py", "LABEL = 'From the root'\n"),
        (".hm/a.py", &importing),
    ]);
    let rendered = project.render(&python, &[".hm/a.py"]);
    let pipeline = rendered.files[0].pipelines[0].result.as_ref().unwrap();
    assert_eq!(
        pipeline.checked.as_ref().unwrap().plan.steps[0].key,
        "from-the-root"
    );
}

#[test]
fn a_fault_in_a_rendered_document_has_a_field_and_a_file() {
    let Some(python) = python() else { return };
    let text = "import harmont as hm\n@hm.pipeline(\"p\")\ndef p():\n    return (hm.sh(\"true\", key=\"a\", label=\"One\"), hm.sh(\"false\", key=\"a\"))\n";
    let project = Project::new(&[(".hm/p.py", text)]);
    let rendered = project.render(&python, &[".hm/p.py"]);
    let problems = rendered.files[0].pipelines[0]
        .result
        .as_ref()
        .unwrap()
        .checked
        .as_ref()
        .unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "graph.nodes[1].step.key in .hm/p.py: duplicate key \"a\": \
         nodes 0 and 1 (labels \"One\" and none) (hint: set `key=` on one of them)"
    );
}

#[test]
fn without_python_or_dsl_the_remedy_is_told() {
    let Some(python) = python() else { return };
    let project = Project::new(&[(".hm/a.py", GOOD)]);
    let absent = Python {
        executable: "/nonexistent/python3".into(),
        ..python.clone()
    };
    let error = project.try_render(&absent, &[".hm/a.py"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("install Python 3.11"), "{error}");
    // A folder that shadows the package stands in for a Python without it.
    let shadowed = Project::new(&[
        (".hm/a.py", GOOD),
        ("harmont.py", "import no_such_module_here\n"),
    ]);
    let error = shadowed.try_render(&python, &[".hm/a.py"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error
            .to_string()
            .contains("has no module `no_such_module_here`"),
        "{error}"
    );
    assert!(
        error.to_string().contains("-m pip install harmont==0.0.9"),
        "{error}"
    );
}

#[test]
fn a_file_that_never_ends_is_stopped_with_all_that_it_started() {
    let Some(python) = python() else { return };
    let text = "import os, subprocess, time\nchild = subprocess.Popen(['sleep', '1000'])\n\
                open('pid', 'w').write(str(child.pid))\ntime.sleep(1000)\n";
    let project = Project::new(&[(".hm/a.py", text)]);
    let python = Python {
        timeout: Duration::from_secs(2),
        ..python
    };
    let error = project.try_render(&python, &[".hm/a.py"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error
            .to_string()
            .contains("loading took over 2 s and was stopped"),
        "{error}"
    );
    let pid = std::fs::read_to_string(project.0.path().join("pid")).unwrap();
    // Killed with its group; what is left of it, if anything, is not running.
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

#[test]
fn a_file_that_ends_the_process_is_a_fault() {
    let Some(python) = python() else { return };
    let project = Project::new(&[(".hm/a.py", "import os\nprint('bye')\nos._exit(0)\n")]);
    let error = project.try_render(&python, &[".hm/a.py"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error
            .to_string()
            .contains("Python ended without a pipeline"),
        "{error}"
    );
}

#[test]
fn a_project_chooses_among_python_pipelines_too() {
    let Some(python) = python() else { return };
    let project = Project::new(&[
        (".hm/broken.py", "raise ValueError('no')\n"),
        (".hm/good.py", GOOD),
        (".hm/twice.py", &GOOD.replace("\"good\"", "\"same\"")),
        (".hm/same.toml", "[steps.a]\nrun = \"true\"\n"),
    ]);
    let inputs = hm_pipeline::project::Inputs {
        python,
        org: "default".to_owned(),
        now: NOW,
        default_image: "ubuntu:24.04".to_owned(),
    };
    let found = hm_pipeline::project::Project::find(project.0.path()).unwrap();
    let catalog = found.catalog(&inputs).unwrap();
    let good = catalog.choose(Some("good")).unwrap();
    assert_eq!(
        (good.plan.pipeline.as_str(), good.file.as_str()),
        ("good", ".hm/good.py")
    );
    let warnings: Vec<_> = good.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert_eq!(
        warnings[0],
        ".hm/broken.py was left out: .hm/broken.py:1:1: ValueError: no"
    );
    let twice = catalog.choose(Some("same")).unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Invalid);
    assert!(
        twice.to_string().contains(".hm/same.toml and .hm/twice.py"),
        "{twice}"
    );
    let broken = catalog.choose(Some("broken")).unwrap_err();
    assert_eq!(
        broken.to_string(),
        "1 problem in .hm/broken.py\n.hm/broken.py:1:1: ValueError: no\n  \
         at .hm/broken.py:1: raise ValueError('no')"
    );
    let of_file = hm_pipeline::project::Catalog::of_file(
        &project.0.path().join(".hm/good.py"),
        project.0.path(),
        &inputs,
    );
    assert_eq!(of_file.unwrap().choose(None).unwrap().slug, "good");
}

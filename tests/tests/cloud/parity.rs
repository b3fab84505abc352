//! The samples that run here run in the cloud: same verdict, same ends, same lines; and so
//! does what their Python declares.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hm_fake_cloud::{Config, FakeCloud, Machines};
use hm_tests::{Build, Finished, Invocation, Project, StepRun, cannot, python_path, samples};
use tempfile::TempDir;

use super::{TOKEN, assert_well_behaved, start};

/// A service that runs jobs in machines; each image is this machine's own file system.
pub(super) struct Service {
    pub(super) cloud: FakeCloud,
    _state: TempDir,
}

impl Service {
    pub(super) fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let spawner = vec![hm_tests::hm().into(), "__sandbox".into()];
        let images = vec![("*".to_owned(), "host".to_owned())];
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let entered = runtime.enter();
        let machines = Machines::open(state.path(), spawner, images);
        drop(entered);
        let machines = Arc::new(machines.expect("machines can be had"));
        Self {
            cloud: start(Config::new(TOKEN, machines)),
            _state: state,
        }
    }

    /// Lets a project use this service.
    pub(super) fn lent(&self, project: Project) -> Project {
        project
            .env_for_all("HM_API_URL", self.cloud.url())
            .env_for_all("HM_API_TOKEN", TOKEN)
    }

    /// Ends it, and checks that every request followed the description.
    #[track_caller]
    pub(super) fn stop(self) {
        assert_well_behaved(&self.cloud);
        self.cloud.stop();
    }
}

/// A sample in one of its forms.
struct Form {
    project: Project,
    /// What names it to `hm run`.
    args: Vec<String>,
    /// Where its Python is.
    path: Option<String>,
    stdin: Vec<u8>,
}

impl Form {
    fn new(args: &[&str]) -> Self {
        Self {
            project: Project::new().tree(&samples().join("tree")),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            path: None,
            stdin: Vec::new(),
        }
    }

    fn document(name: &str) -> Self {
        let form = Self::new(&["--file", "sample.json"]);
        let text = std::fs::read(samples().join(format!("{name}.json"))).unwrap();
        form.project.write("sample.json", text);
        form
    }

    /// A file of the DSL. Most of them `hm run` renders itself; what prints a document of its
    /// own comes by a pipe.
    fn python(name: &str, path: String) -> Self {
        let script = samples().join(format!("{name}.py"));
        if !PRINTED.contains(&name) {
            let form = Self::new(&[]);
            let text = std::fs::read(script).unwrap();
            form.project.write(&format!(".hm/{name}.py"), text);
            return Self {
                path: Some(path),
                ..form
            };
        }
        let form = Self::new(&["--file", "-"]);
        let python = Path::new(path.split(':').next().unwrap()).join("python3");
        let call = form.project.program(python.to_str().unwrap()).arg(script);
        let stdin = call.run().expect(0).stdout;
        Self { stdin, ..form }
    }

    fn call(&self, slug: Option<&str>) -> Invocation {
        let call = self.project.run().args(["-k", "--no-cache"]);
        let call = call.args(&self.args).args(slug);
        match &self.path {
            Some(path) => call.env("PATH", path),
            None => call.stdin(self.stdin.clone()),
        }
    }

    fn here(&self, slug: Option<&str>) -> Finished {
        self.call(slug).args(["--image", "*=host"]).run()
    }

    fn there(mut self, slug: Option<&str>, service: &Service) -> Finished {
        self.project = service.lent(self.project);
        self.call(slug).args(["--backend", "cloud"]).run()
    }
}

/// Whose Python prints a bare document.
const PRINTED: [&str; 2] = ["chain-200", "wire-extras"];

/// How a step ended, and what it printed on each channel: between them there is no order.
type End = (String, Option<i64>, [Vec<String>; 2]);

/// Exit codes of what SIGKILL and SIGTERM ended.
const SIGNALS: [i64; 2] = [137, 143];

fn ends(build: &Build) -> BTreeMap<&str, End> {
    let own = |lines: Vec<&str>| lines.into_iter().map(str::to_owned).collect();
    let end = |step: &StepRun| {
        // The service has no exit code for what a signal ended.
        let code = step.exit_code.filter(|code| !SIGNALS.contains(code));
        let lines = [own(step.stdout()), own(step.stderr())];
        (step.status.clone(), code, lines)
    };
    build.steps().map(|(key, step)| (key, end(step))).collect()
}

/// Runs pipelines of a sample here and, in both of its forms, in the cloud.
#[track_caller]
fn same(name: &str, slugs: &[Option<&str>]) {
    let service = Service::start();
    let python = python_path();
    if let Err(why) = &python {
        cannot(&format!("{name}.py in the cloud"), why);
    }
    for &slug in slugs {
        let here = Form::document(name).here(slug);
        let build = here.build();
        let forms = [
            Some(Form::document(name)),
            python
                .as_ref()
                .ok()
                .map(|path| Form::python(name, path.clone())),
        ];
        for form in forms.into_iter().flatten() {
            let there = form.there(slug, &service);
            assert_eq!(there.code(), here.code(), "{slug:?}\n{}", there.said());
            let there = there.build();
            assert_eq!(there.status, build.status, "{slug:?}");
            assert_eq!(ends(&there), ends(&build), "{slug:?}");
        }
    }
    service.stop();
}

macro_rules! samples {
    ($($test:ident $name:literal $slugs:expr;)*) => {
        $(#[test]
        fn $test() {
            same($name, $slugs);
        })*

        /// All that are compared to the end.
        const SAMPLES: &[&str] = &[$($name),*];
    };
}

samples! {
    hello "hello" &[None];
    chain_files "chain-files" &[None];
    chain_200 "chain-200" &[None];
    fan_out_in "fan-out-in" &[None];
    images "images" &[None];
    env_levels "env-levels" &[None];
    timeouts "timeouts" &[Some("within-limits"), Some("step-over")];
    cache_policies "cache-policies" &[None];
    targets "targets" &[None];
    multi_pipeline "multi-pipeline" &[
        Some("ci"), Some("release"), Some("labels-2"), Some("nightly"), Some("empty-triggers"),
    ];
    matrix_64 "matrix-64" &[None];
    failures "failures" &[
        Some("exit-three"), Some("codes"), Some("barrier-after-failure"),
        Some("all-pass-after-noise"),
    ];
    wire_extras "wire-extras" &[None];
}

/// Where a whole build's time is over, what has passed by then is a matter of moments.
#[test]
fn a_build_over_its_time_ends_alike() {
    let slug = Some("build-over");
    let service = Service::start();
    let here = Form::document("timeouts").here(slug);
    let there = Form::document("timeouts").there(slug, &service);
    for finished in [&here, &there] {
        let build = finished.build();
        assert_eq!(finished.code(), Some(124), "{}", finished.said());
        assert_eq!(build.status, "timed_out");
        assert_eq!(build.step("go").stdout(), ["go"]);
        let open = build.steps().filter(|(_, step)| step.status != "passed");
        let mut open: Vec<_> = open.map(|(_, step)| step.status.as_str()).collect();
        assert!(open.contains(&"cancelled"), "{}", finished.said());
        open.retain(|status| !["cancelled", "skipped"].contains(status));
        assert_eq!(open, [""; 0], "{}", finished.said());
    }
    service.stop();
}

#[test]
fn every_sample_is_compared() {
    for entry in std::fs::read_dir(samples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = name.strip_suffix(".json") {
            // Its steps want the network, so that it runs nowhere here.
            let is_compared = SAMPLES.contains(&name) || name == "toolchains";
            assert!(is_compared, "{name} is not compared");
        }
    }
}

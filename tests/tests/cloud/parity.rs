//! The samples that run here run in the cloud: same verdict, same ends, same lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use hm_fake_cloud::{Config, FakeCloud, Machines};
use hm_tests::{Build, Project, StepRun, samples};

use super::{TOKEN, assert_well_behaved, start};

/// How a step ended, and what it printed on each channel: between them there is no order.
type End = (String, Option<i64>, [Vec<String>; 2]);

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

/// Exit codes of what SIGKILL and SIGTERM ended.
const SIGNALS: [i64; 2] = [137, 143];

fn service(state: &std::path::Path) -> FakeCloud {
    let spawner = vec![hm_tests::hm().into(), "__sandbox".into()];
    let images = vec![("*".to_owned(), "host".to_owned())];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let entered = runtime.enter();
    let machines = Machines::open(state, spawner, images).expect("machines can be had");
    drop(entered);
    start(Config::new(TOKEN, Arc::new(machines)))
}

#[track_caller]
fn same(cloud: &FakeCloud, sample: &str, slug: Option<&str>) {
    let file = format!("sample/{sample}.json");
    let text = std::fs::read(samples().join(format!("{sample}.json"))).unwrap();
    let project = Project::new()
        .tree(&samples().join("tree"))
        .file(&file, text)
        .env_for_all("HM_API_URL", cloud.url())
        .env_for_all("HM_API_TOKEN", TOKEN);
    let call = || {
        project
            .run()
            .args(["-k", "--no-cache", "--file", &file])
            .args(slug)
    };
    let here = call().args(["--image", "*=host"]).run();
    let there = call().args(["--backend", "cloud"]).run();
    assert_eq!(there.code(), here.code(), "{sample}\n{}", there.said());
    let (here, there) = (here.build(), there.build());
    assert_eq!(there.status, here.status, "{sample}");
    assert_eq!(ends(&there), ends(&here), "{sample}");
}

/// Every pipeline of the samples that comes to its own end. A whole build's timeout is held
/// by the service and by `hm`, whichever is first.
const SAMPLES: [(&str, Option<&str>); 19] = [
    ("hello", None),
    ("chain-files", None),
    ("chain-200", None),
    ("fan-out-in", None),
    ("images", None),
    ("env-levels", None),
    ("timeouts", Some("within-limits")),
    ("timeouts", Some("step-over")),
    ("cache-policies", None),
    ("targets", None),
    ("multi-pipeline", Some("ci")),
    ("multi-pipeline", Some("release")),
    ("multi-pipeline", Some("nightly")),
    ("matrix-64", None),
    ("failures", Some("exit-three")),
    ("failures", Some("codes")),
    ("failures", Some("barrier-after-failure")),
    ("failures", Some("all-pass-after-noise")),
    ("wire-extras", None),
];

#[test]
fn samples_end_alike_here_and_in_the_cloud() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = service(folder.path());
    for (sample, slug) in SAMPLES {
        same(&cloud, sample, slug);
    }
    assert_well_behaved(&cloud);
    cloud.stop();
}

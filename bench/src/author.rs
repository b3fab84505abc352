//! Rows for authors of backends: what the SDK adds to a component, in bytes and in time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hm_exec::{
    BuildStatus, ComponentBackend, ComponentSource, ExecutionBackend, Grants, RunOptions,
    RunRequest, Runtime, RuntimeConfig,
};
use hm_guest_toolchain::{Build, Profile, Toolchain};

use crate::measure::{Process, median, pairs};
use crate::plan;
use crate::table::Table;

type Row = fn(&tokio::runtime::Runtime, &mut Table) -> Result<()>;

/// Every row, by name.
pub const ROWS: &[(&str, Row)] = &[("component size", size), ("sdk events", events)];

/// What a new backend in Rust may weigh, optimised (issue 6).
const MOST_BYTES: u64 = 150_000;

fn component(folder: &str, package: &str) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = Toolchain::find()?.build(&Build {
        manifest_dir: &root.join(folder),
        package,
        target_dir: &root.join("target/bench-components"),
        profile: Profile::Release,
        locked: false,
    })?;
    Ok(built)
}

/// What `hm backend new` begins with, against a backend that does nothing in machines.
fn size(_: &tokio::runtime::Runtime, table: &mut Table) -> Result<()> {
    let echo = component("examples/backends/echo", "echo")?
        .metadata()?
        .len();
    for (what, name) in [("vm", "machines"), ("http", "remote")] {
        let folder = format!("examples/backends/{name}");
        let bytes = component(&folder, name)?.metadata()?.len();
        let what = format!("component of a new backend, --kind {what} / echo");
        let limit = if name == "machines" { MOST_BYTES } else { 0 };
        table.add_bytes(&what, echo, bytes, limit);
    }
    Ok(())
}

/// Events sent one by one, by the SDK's handles and by the raw bindings.
fn events(tokio: &tokio::runtime::Runtime, table: &mut Table) -> Result<()> {
    let runtime = Runtime::new(RuntimeConfig::default())?;
    let source = ComponentSource::File(component("tests/guests/rate", "rate-backend")?);
    let loaded = runtime.load(&source)?;
    let backend = ComponentBackend::new(&runtime, "rate", &loaded, Grants::default())?;
    let run = |raw: bool| tokio.block_on(build(&backend, raw));
    let (raw, sdk) = pairs(9, || run(true), || run(false))?;
    let rate = 50_000.0 / median(sdk.clone()).as_secs_f64();
    let what = format!("50,000 events by the SDK ({rate:.0}/s) / raw bindings");
    let figure = Process {
        wall: median(sdk),
        peak: 0,
    };
    table.add(&what, median(raw), figure, 50_000, "1.05 x");
    Ok(())
}

async fn build(backend: &ComponentBackend, raw: bool) -> Result<Duration> {
    let root = tempfile::tempdir()?;
    let settings = raw.then(|| ("raw".to_owned(), "1".to_owned()));
    let request = RunRequest {
        run_id: uuid::Uuid::new_v4(),
        plan: plan::plan(1, false),
        repo_root: root.path().to_owned(),
        env: Default::default(),
        source: Default::default(),
        options: RunOptions::default(),
        settings: settings.into_iter().collect(),
        secrets: Default::default(),
    };
    let begun = Instant::now();
    let (mut stream, control) = backend.start(request).await?.into_parts();
    while let Some(event) = stream.next().await {
        std::hint::black_box(&event);
    }
    let outcome = control.wait().await?;
    ensure!(
        outcome.status == BuildStatus::Passed,
        "{:?}",
        outcome.reason
    );
    Ok(begun.elapsed())
}

//! Rows inside one process: the component and its scheduling, on an engine that does
//! nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hm_exec::{
    BuildStatus, CodeCache, ExecutionBackend, ImageMap, ImagePolicy, LocalBackend, RunOptions,
    RunRequest, Runtime, RuntimeConfig, VmGrant,
};
use hm_plugin_protocol::BuildEvent;
use hm_vm::Subsystem;

use crate::measure::{Process, median, pairs};
use crate::plan;
use crate::stub::Stub;
use crate::table::Table;

type Row = fn(&tokio::runtime::Runtime, &mut Table) -> Result<()>;

/// Every row, by name.
pub const ROWS: &[(&str, Row)] = &[
    ("load", load),
    ("scheduling", scheduling),
    ("events", events),
    ("policy-events", crate::policy::events),
];

fn grant(tokio: &tokio::runtime::Runtime) -> Result<VmGrant> {
    let _guard = tokio.enter();
    Ok(VmGrant {
        subsystem: Arc::new(Subsystem::ephemeral(Arc::new(Stub))?),
        images: ImageMap::default(),
        allowed: ImagePolicy::of_plan(),
        exec: false,
        machine: hm_vm::MachineOptions::default(),
    })
}

fn figure(wall: Vec<Duration>) -> Process {
    Process {
        wall: median(wall),
        peak: 0,
    }
}

/// Cold: compiled. Cached: a new engine, and the code from the disk. Both up to a linked
/// component.
fn load(tokio: &tokio::runtime::Runtime, table: &mut Table) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let grant = grant(tokio)?;
    let load = |cache: Option<CodeCache>| -> Result<Duration> {
        let begun = Instant::now();
        let runtime = Runtime::new(RuntimeConfig {
            code_cache: cache,
            ..RuntimeConfig::default()
        })?;
        LocalBackend::new(&runtime, grant.clone())?;
        Ok(begun.elapsed())
    };
    let cached = CodeCache::new(folder.path().join("code"), folder.path().join("key"));
    let (cold, warm) = pairs(9, || load(None), || load(Some(cached.clone())))?;
    table.add(
        "load of the cached component / compiled",
        median(cold),
        figure(warm),
        1,
        "5 ms",
    );
    Ok(())
}

/// One whole build on the stub engine; returns its time and the number of events.
async fn build(
    backend: &LocalBackend,
    plan: hm_plugin_protocol::Plan,
) -> Result<(Duration, usize)> {
    let root = tempfile::tempdir()?;
    let request = RunRequest {
        run_id: uuid::Uuid::new_v4(),
        plan,
        repo_root: root.path().to_owned(),
        env: Default::default(),
        source: Default::default(),
        options: RunOptions {
            parallelism: 8,
            no_cache: true,
            ..RunOptions::default()
        },
        settings: Vec::new(),
        secrets: Default::default(),
    };
    let begun = Instant::now();
    let (mut stream, control) = backend.start(request).await?.into_parts();
    let mut count = 0;
    while let Some(event) = stream.next().await {
        std::hint::black_box(&event);
        count += 1;
    }
    let outcome = control.wait().await?;
    ensure!(
        outcome.status == BuildStatus::Passed,
        "the build ended as {:?}",
        outcome.status
    );
    Ok((begun.elapsed(), count))
}

/// Returns the times of whole builds of `steps` steps on the stub engine.
pub fn builds(tokio: &tokio::runtime::Runtime, steps: u32, rounds: usize) -> Result<Vec<Duration>> {
    let runtime = Runtime::new(RuntimeConfig::default())?;
    let backend = LocalBackend::new(&runtime, grant(tokio)?)?;
    let run = || {
        tokio
            .block_on(build(&backend, plan::plan(steps, false)))
            .map(|(wall, _)| wall)
    };
    Ok(pairs(rounds, run, || Ok(()))?.0)
}

/// Linear if ten times the steps cost ten times the time.
fn scheduling(tokio: &tokio::runtime::Runtime, table: &mut Table) -> Result<()> {
    let runtime = Runtime::new(RuntimeConfig::default())?;
    let backend = LocalBackend::new(&runtime, grant(tokio)?)?;
    for (shape, is_chain) in [("independent", false), ("in one chain", true)] {
        let run = |count| {
            tokio
                .block_on(build(&backend, plan::plan(count, is_chain)))
                .map(|(wall, _)| wall)
        };
        let (small, large) = pairs(5, || run(1_000), || run(10_000))?;
        let what = format!("10,000 no-op steps {shape} / 10 x 1,000");
        table.add(&what, median(small) * 10, figure(large.clone()), 1, "1.2 x");
        table.add(
            &format!("  of these, per step / {shape}"),
            Duration::from_micros(1),
            figure(vec![median(large) / 10_000]),
            1,
            "50 us",
        );
    }
    Ok(())
}

/// Events of a build of 10,000 steps, against as many through a native channel.
fn events(tokio: &tokio::runtime::Runtime, table: &mut Table) -> Result<()> {
    let runtime = Runtime::new(RuntimeConfig::default())?;
    let backend = LocalBackend::new(&runtime, grant(tokio)?)?;
    let count = tokio
        .block_on(build(&backend, plan::plan(10_000, false)))?
        .1;
    let native = || {
        tokio.block_on(async {
            let begun = Instant::now();
            let (sender, mut receiver) = tokio::sync::mpsc::channel(32);
            let sending = tokio::spawn(async move {
                for step in 0..count {
                    let event = BuildEvent::Custom {
                        name: step.to_string(),
                        data: serde_json::Value::Null,
                    };
                    sender.send(event).await.ok();
                }
            });
            while receiver.recv().await.is_some() {}
            sending.await?;
            Ok(begun.elapsed())
        })
    };
    let through = || {
        tokio
            .block_on(build(&backend, plan::plan(10_000, false)))
            .map(|(wall, _)| wall)
    };
    let (baseline, subject) = pairs(5, native, through)?;
    let rate = count as f64 / median(subject.clone()).as_secs_f64();
    let what = format!("{count} events of a build ({rate:.0}/s) / native channel");
    table.add(&what, median(baseline), figure(subject), count as u32, "");
    Ok(())
}

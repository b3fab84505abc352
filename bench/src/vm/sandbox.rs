//! The sandbox's bars, each beside its baseline.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hm_vm::registry::Registry;
use hm_vm::source::freeze;
use hm_vm::{FreezeOptions, LayerRecord, SnapshotRecord, StateDir};

use super::stage::{HOST, ROOTFS, Stage, after, from, image, run, step, without_network};
use super::{figure, floor, host_shell};
use crate::measure::{median, pairs};
use crate::plan;
use crate::project::Project;
use crate::table::Table;

const ROUNDS: usize = 60;

/// Adds a row of two series.
fn row(table: &mut Table, what: &str, series: (Vec<Duration>, Vec<Duration>), limit: &str) {
    table.add(what, median(series.0), figure(median(series.1)), 1, limit);
}

/// Each beside its own shell: the host's is linked with libraries, which takes time to do.
pub fn exec(stage: &Stage, table: &mut Table) -> Result<()> {
    let engine = stage.sandbox()?;
    let mut against = |name: &str, baseline: fn() -> Result<Duration>, what: &str| {
        let machine = stage.tokio.block_on(engine.boot(image(name)))?;
        let series = pairs(ROUNDS, baseline, || {
            stage.tokio.block_on(async {
                let begun = Instant::now();
                run(&*machine, "true", false).await?;
                Ok(begun.elapsed())
            })
        })?;
        stage.tokio.block_on(machine.destroy());
        row(table, what, series, "1.3 x");
        anyhow::Ok(())
    };
    against(ROOTFS, floor, "command in a live machine / static shell")?;
    let what = "command in a live machine of the host / sh -c true";
    against(HOST, host_shell, what)?;
    stage.close(engine);
    Ok(())
}

pub fn machine(stage: &Stage, table: &mut Table) -> Result<()> {
    let engine = stage.sandbox()?;
    let one = |name: &str| stage.tokio.block_on(step(&engine, image(name), "true"));
    let series = pairs(ROUNDS, floor, || one(ROOTFS))?;
    row(table, "machine, host network / static shell", series, "6 x");
    let series = pairs(ROUNDS, || one(ROOTFS), || one(HOST))?;
    row(table, "machine of the host / of an image", series, "1.25 x");
    stage.close(engine);
    Ok(())
}

pub fn own_network(stage: &Stage, table: &mut Table) -> Result<()> {
    let engine = stage.sandbox()?;
    let series = pairs(ROUNDS, floor, || {
        let spec = without_network(ROOTFS);
        stage.tokio.block_on(step(&engine, spec, "true"))
    })?;
    row(
        table,
        "machine, own network / static shell",
        series,
        "7.5 x",
    );
    stage.close(engine);
    Ok(())
}

pub fn chain(stage: &Stage, table: &mut Table) -> Result<()> {
    let engine = stage.sandbox()?;
    let series = pairs(15, floor, || {
        stage.tokio.block_on(async {
            let begun = Instant::now();
            let mut snapshot = after(&engine, image(ROOTFS), "true").await?;
            for _ in 1..20 {
                snapshot = after(&engine, from(&snapshot), "true").await?;
            }
            Ok(begun.elapsed() / 20)
        })
    })?;
    row(
        table,
        "chain of 20 with snapshots, a step / static shell",
        series,
        "7 x",
    );
    stage.close(engine);
    Ok(())
}

pub fn depth(stage: &Stage, table: &mut Table) -> Result<()> {
    let engine = stage.sandbox()?;
    let shallow = stage
        .tokio
        .block_on(after(&engine, image(HOST), "echo > f"))?;
    let deep = stage.tokio.block_on(async {
        let mut snapshot = shallow.clone();
        for number in 0..199 {
            let command = format!("echo > f{number}");
            snapshot = after(&engine, from(&snapshot), &command).await?;
        }
        anyhow::Ok(snapshot)
    })?;
    let boot = |snapshot| stage.tokio.block_on(step(&engine, from(snapshot), "true"));
    let series = pairs(ROUNDS, || boot(&shallow), || boot(&deep))?;
    row(table, "machine at depth 200 / at depth 1", series, "2.5 x");
    drop((shallow, deep));
    stage.close(engine);
    Ok(())
}

/// Writes 200 MB in 200 files.
const WRITE: &str =
    "i=0; while [ $i -lt 200 ]; do head -c 1000000 /dev/zero > f$i; i=$((i + 1)); done";

pub fn destroy(stage: &Stage, table: &mut Table) -> Result<()> {
    let engine = stage.sandbox()?;
    let end = |command: &str| {
        stage.tokio.block_on(async {
            let machine = engine.boot(image(HOST)).await?;
            run(&*machine, command, true).await?;
            let begun = Instant::now();
            machine.destroy().await;
            let took = begun.elapsed();
            engine.settle().await;
            Ok(took)
        })
    };
    let series = pairs(9, || end("true"), || end(WRITE))?;
    row(
        table,
        "end of a machine that wrote 200 MB / nothing",
        series,
        "4 x",
    );
    stage.close(engine);
    Ok(())
}

/// A machine ends before it is frozen, so what freezing takes is what the one takes over the
/// other: a rename, whatever was written.
pub fn snapshot(stage: &Stage, table: &mut Table) -> Result<()> {
    let engine = stage.sandbox()?;
    let after = |command: &str, is_frozen: bool| {
        stage.tokio.block_on(async {
            let machine = engine.boot(image(HOST)).await?;
            run(&*machine, command, true).await?;
            let begun = Instant::now();
            let snapshot = if is_frozen {
                Some(machine.snapshot().await?)
            } else {
                machine.destroy().await;
                None
            };
            let took = begun.elapsed();
            drop(snapshot);
            engine.settle().await;
            Ok(took)
        })
    };
    for (amount, command) in [("nothing", "true"), ("200 MB", WRITE)] {
        let series = pairs(9, || after(command, false), || after(command, true))?;
        let what = format!("snapshot of {amount} / end of such a machine");
        row(table, &what, series, "0.5 ms over");
    }
    stage.close(engine);
    Ok(())
}

pub fn fan_out(stage: &Stage, table: &mut Table) -> Result<()> {
    let engine = stage.sandbox()?;
    let base = stage.tokio.block_on(after(&engine, image(HOST), WRITE))?;
    let at_once = |count: usize| {
        stage.tokio.block_on(async {
            let begun = Instant::now();
            let steps = (0..count).map(|_| step(&engine, from(&base), "true"));
            for done in futures::future::join_all(steps).await {
                done?;
            }
            Ok(begun.elapsed())
        })
    };
    let series = pairs(ROUNDS, || at_once(1), || at_once(8))?;
    row(table, "8 machines at once from 200 MB / one", series, "6 x");
    drop(base);
    stage.close(engine);
    Ok(())
}

/// What the kernel holds for processes, mounts and namespaces, in bytes.
fn kernel_memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kinds = ["Slab:", "KernelStack:", "PageTables:", "Percpu:"];
    Ok(kib(&text, &kinds) << 10)
}

/// Sums up lines of a table of the kernel's.
fn kib(text: &str, names: &[&str]) -> u64 {
    let of = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().filter(|name| names.contains(name))?;
        words.next()?.parse::<u64>().ok()
    };
    text.lines().filter_map(of).sum()
}

/// Memory that all processes below this one have to themselves, in bytes.
fn private_memory() -> Result<u64> {
    let mut total = 0;
    let mut parents = vec![std::process::id()];
    while let Some(parent) = parents.pop() {
        let parent = parent.to_string();
        let children = Command::new("pgrep").args(["-P", &parent]).output()?;
        let children = String::from_utf8(children.stdout)?;
        for child in children.lines().filter_map(|pid| pid.parse::<u32>().ok()) {
            // Such as `pgrep` itself, which has gone.
            let Ok(text) = fs::read_to_string(format!("/proc/{child}/smaps_rollup")) else {
                continue;
            };
            total += kib(&text, &["Private_Clean:", "Private_Dirty:"]) << 10;
            parents.push(child);
        }
    }
    Ok(total)
}

/// Of a machine's own processes, and of the kernel for it.
pub fn memory(stage: &Stage, table: &mut Table) -> Result<()> {
    const MACHINES: usize = 100;
    let engine = stage.sandbox()?;
    let held = || anyhow::Ok(kernel_memory()? + private_memory()?);
    let held = stage.tokio.block_on(async {
        let before = held()?;
        let mut machines = Vec::new();
        for _ in 0..MACHINES {
            machines.push(engine.boot(image(ROOTFS)).await?);
        }
        let held = held()?.saturating_sub(before);
        for machine in machines {
            machine.destroy().await;
        }
        anyhow::Ok(held)
    })?;
    let each = held / MACHINES as u64;
    ensure!(each > 0, "the system gave back more than machines took");
    table.add_bytes("memory of an idle machine", 0, each, 1_000_000);
    stage.close(engine);
    Ok(())
}

/// From SIGKILL of `hm` to the end of the last process of its steps.
pub fn kill(stage: &Stage, table: &mut Table) -> Result<()> {
    let mut times = Vec::new();
    for round in 0..7 {
        let mark = format!("98{:06}", std::process::id() % 100_000 * 10 + round);
        let project = Project::new(&plan::toml(
            1,
            false,
            &format!("sleep {mark} & sleep {mark}"),
        ))?;
        let mut child = project.run(&stage.hm, &[]).stdin(Stdio::null()).spawn()?;
        let alive = || -> Result<bool> {
            let found = Command::new("pgrep")
                .args(["-f", &format!("sleep {mark}")])
                .output()?;
            Ok(found.status.success())
        };
        let patience = Instant::now() + Duration::from_secs(20);
        while !alive()? {
            ensure!(Instant::now() < patience, "the step does not begin");
        }
        let begun = Instant::now();
        child.kill()?;
        while alive()? {
            ensure!(Instant::now() < patience, "the step does not end");
        }
        times.push(begun.elapsed());
        child.wait()?;
    }
    let what = "SIGKILL of hm to the end of its last step's process";
    table.add(what, Duration::ZERO, figure(median(times)), 1, "50 ms");
    Ok(())
}

pub fn source(stage: &Stage, table: &mut Table) -> Result<()> {
    let project = Project::new("")?.with_files_of(20_000, 10_000)?;
    let state = StateDir::open(&stage.folder.path().join("frozen"))?;
    let frozen = freeze(&state, &project.root(), &FreezeOptions::default())?;
    let copy = stage.folder.path().join("copy");
    // Once: it takes some five hundred times as long, and the disk needs a rest after it.
    let begun = Instant::now();
    let status = Command::new("cp")
        .arg("-a")
        .arg(project.root())
        .arg(&copy)
        .status()?;
    ensure!(status.success(), "cp ends with {status}");
    let copied = begun.elapsed();
    fs::remove_dir_all(&copy)?;
    let mut times = Vec::new();
    for _ in 0..9 {
        let begun = Instant::now();
        let again = freeze(&state, &project.root(), &FreezeOptions::default())?;
        times.push(begun.elapsed());
        drop(again);
    }
    drop(frozen);
    let what = "source of 20,000 files, 200 MB, unchanged: frozen again / cp -a";
    table.add(what, copied, figure(median(times)), 1, "0.07 x");
    Ok(())
}

pub fn registry(stage: &Stage, table: &mut Table) -> Result<()> {
    let state = StateDir::open(&stage.folder.path().join("registry"))?;
    let registry = Registry::open(&state)?;
    let mut times = Vec::new();
    for number in 0..200 {
        let record = SnapshotRecord {
            id: format!("s{number}"),
            flavour: "trusted".into(),
            image: None,
            layers: vec![LayerRecord {
                id: format!("l{number}"),
                bytes: 1,
            }],
        };
        let begun = Instant::now();
        registry.store(&format!("key {number}"), "bench", &record)?;
        times.push(begun.elapsed());
    }
    let what = "storing a snapshot's row";
    table.add(what, Duration::ZERO, figure(median(times)), 1, "1 ms");
    Ok(())
}

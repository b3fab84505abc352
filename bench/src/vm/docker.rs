//! Docker's bars: what hm asks of the daemon beside the same calls by themselves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use bollard::exec::StartExecResults;
use bollard::models::{ContainerCreateBody, ExecConfig, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, RemoveContainerOptionsBuilder,
    StartContainerOptions, WaitContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::StreamExt;
use hm_tests::Docker as Daemon;
use hm_vm::VmBackend;

use super::figure;
use super::stage::{self, Stage, image, run};
use crate::measure::{median, pairs};
use crate::table::Table;

const ROUNDS: usize = 12;

async fn connect(stage: &Stage) -> Result<Docker> {
    let host = stage.docker()?.host();
    let docker = Docker::connect_with_unix(host, 120, API_DEFAULT_VERSION)?;
    Ok(docker.negotiate_version().await?)
}

/// A container as hm makes one, but for the workspace.
fn body(command: &str) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(Daemon::IMAGE.to_owned()),
        entrypoint: Some(["/bin/sh", "-c", command].map(str::to_owned).into()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(HostConfig {
            init: Some(true),
            network_mode: Some("host".to_owned()),
            log_config: Some(HostConfigLogConfig {
                typ: Some("none".to_owned()),
                config: None,
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// Create, attach, start, read to the end, wait, remove.
async fn raw_step(docker: &Docker, command: &str) -> Result<Duration> {
    let begun = Instant::now();
    let made = docker
        .create_container(None::<CreateContainerOptions>, body(command))
        .await?;
    let options = AttachContainerOptionsBuilder::new()
        .stream(true)
        .stdout(true)
        .stderr(true)
        .build();
    let mut output = docker
        .attach_container(&made.id, Some(options))
        .await?
        .output;
    docker
        .start_container(&made.id, None::<StartContainerOptions>)
        .await?;
    while output.next().await.is_some() {}
    let options = WaitContainerOptionsBuilder::new()
        .condition("not-running")
        .build();
    let ended = docker.wait_container(&made.id, Some(options)).next().await;
    let ended = ended.ok_or_else(|| anyhow!("no answer"))??;
    ensure!(
        ended.status_code == 0,
        "it ended with {}",
        ended.status_code
    );
    remove(docker, &made.id).await?;
    Ok(begun.elapsed())
}

async fn remove(docker: &Docker, id: &str) -> Result<()> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true);
    Ok(docker.remove_container(id, Some(options.build())).await?)
}

async fn raw_exec(docker: &Docker, id: &str) -> Result<Duration> {
    let begun = Instant::now();
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(["/bin/sh", "-c", "true"].map(str::to_owned).into()),
        ..ExecConfig::default()
    };
    let made = docker.create_exec(id, config).await?;
    if let StartExecResults::Attached { mut output, .. } = docker.start_exec(&made.id, None).await?
    {
        while output.next().await.is_some() {}
    }
    docker.inspect_exec(&made.id).await?;
    Ok(begun.elapsed())
}

/// A container that idles.
async fn idle(docker: &Docker) -> Result<String> {
    let made = docker
        .create_container(None::<CreateContainerOptions>, body("sleep 1000"))
        .await?;
    docker
        .start_container(&made.id, None::<StartContainerOptions>)
        .await?;
    Ok(made.id)
}

pub fn step(stage: &Stage, table: &mut Table) -> Result<()> {
    let docker = stage.tokio.block_on(connect(stage))?;
    let engine = stage.docker_engine()?;
    let (raw, ours) = pairs(
        ROUNDS,
        || stage.tokio.block_on(raw_step(&docker, "true")),
        || stage.tokio.block_on(our_step(&engine)),
    )?;
    let what = "docker: a step / create, attach, start, wait, remove";
    table.add(what, median(raw), figure(median(ours)), 1, "1.1 x");
    stage.close(engine);
    Ok(())
}

async fn our_step(engine: &Arc<dyn VmBackend>) -> Result<Duration> {
    stage::step(engine, image(Daemon::IMAGE), "true").await
}

pub fn exec(stage: &Stage, table: &mut Table) -> Result<()> {
    let docker = stage.tokio.block_on(connect(stage))?;
    let id = stage.tokio.block_on(idle(&docker))?;
    let engine = stage.docker_engine()?;
    let machine = stage.tokio.block_on(engine.boot(image(Daemon::IMAGE)))?;
    stage.tokio.block_on(run(&*machine, "true", false))?;
    let ours = || {
        stage.tokio.block_on(async {
            let begun = Instant::now();
            run(&*machine, "true", false).await?;
            Ok(begun.elapsed())
        })
    };
    let (raw, again) = pairs(
        ROUNDS,
        || stage.tokio.block_on(raw_exec(&docker, &id)),
        ours,
    )?;
    let what = "docker: a further command in a machine / raw exec";
    table.add(what, median(raw), figure(median(again.clone())), 1, "1.2 x");
    let new = pairs(
        ROUNDS,
        || stage.tokio.block_on(our_step(&engine)),
        || {
            stage.tokio.block_on(async {
                let begun = Instant::now();
                run(&*machine, "true", false).await?;
                Ok(begun.elapsed())
            })
        },
    )?;
    let what = "docker: a further command in a machine / a machine of its own";
    table.add(what, median(new.0), figure(median(new.1)), 1, "0.3 x");
    stage.tokio.block_on(async {
        machine.destroy().await;
        remove(&docker, &id).await
    })?;
    stage.close(engine);
    Ok(())
}

pub fn beside_the_sandbox(stage: &Stage, table: &mut Table) -> Result<()> {
    let (docker, sandbox) = (stage.docker_engine()?, stage.sandbox()?);
    let (small, large) = pairs(
        ROUNDS,
        || {
            stage
                .tokio
                .block_on(stage::step(&sandbox, image(stage::ROOTFS), "true"))
        },
        || stage.tokio.block_on(our_step(&docker)),
    )?;
    let what = "a step in busybox on docker / on the sandbox";
    table.add(
        what,
        median(small),
        figure(median(large)),
        1,
        "at least 40 x",
    );
    stage.close(docker);
    stage.close(sandbox);
    Ok(())
}

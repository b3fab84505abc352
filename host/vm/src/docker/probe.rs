//! What this engine needs, tried out for `hm doctor`.

use super::daemon::{Daemon, Facts};
use super::engine::{DockerConfig, DockerEngine};
use super::source::Way;
use crate::backend::VmBackend;
use crate::error::VmError;
use crate::probe::Probe;

/// Asks the daemon what it is, and what it can do here. Nothing is pulled and nothing is
/// started; whether it sees this machine's files is tried with an image that it has already.
pub async fn probes(config: &DockerConfig) -> Vec<Probe> {
    let daemon = match Daemon::connect(&config.endpoint).await {
        Ok(daemon) => daemon,
        Err(error) => return vec![missing("daemon", &error)],
    };
    let mut found = facts(&daemon.facts, &config.endpoint);
    found.push(files(config, &daemon).await);
    found
}

fn facts(facts: &Facts, endpoint: &super::Endpoint) -> Vec<Probe> {
    let rootless = match (facts.is_rootless, facts.is_remapped) {
        (true, _) => "rootless: root inside is this daemon's user outside",
        (_, true) => "root inside is another user outside",
        _ => "root inside is root outside, with fewer rights",
    };
    let limit = |holds: bool, what: &str| if holds { None } else { Some(what.to_owned()) };
    let unlimited: Vec<String> = [
        limit(facts.limits_memory, "memory"),
        limit(facts.limits_cpus, "processors"),
        limit(facts.limits_processes, "processes"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let limits = if unlimited.is_empty() {
        Ok(format!(
            "memory, processors and processes, by control groups {}",
            facts.cgroup
        ))
    } else {
        Err((
            format!("the daemon cannot limit {}", unlimited.join(" and ")),
            "let the daemon have the control groups for it (for rootless Docker: delegate them to \
             the user in systemd)"
                .to_owned(),
        ))
    };
    vec![
        fine(
            "daemon",
            format!(
                "{}, version {}, interface {}, on {}",
                endpoint.address(),
                facts.version,
                facts.api,
                facts.system
            ),
            true,
        ),
        fine("storage", facts.driver.clone(), false),
        fine("users", rootless.to_owned(), false),
        Probe {
            name: "limits",
            result: limits,
            needed: false,
        },
    ]
}

/// Whether the frozen source is mounted as it is, or has to be sent.
async fn files(config: &DockerConfig, daemon: &Daemon) -> Probe {
    let name = "source";
    let images = daemon
        .docker
        .list_images(None::<bollard::query_parameters::ListImagesOptions>)
        .await
        .unwrap_or_default();
    let Some(image) = images.first() else {
        return fine(
            name,
            "not tried: the daemon has no image to try it with".to_owned(),
            false,
        );
    };
    let tried = async {
        let engine = DockerEngine::open(config.clone())?;
        let way = engine.way(&image.id).await;
        engine.close().await;
        way
    };
    match tried.await {
        Ok(Way::Shared) => fine(
            name,
            "the daemon sees this machine's files, and mounts them".to_owned(),
            false,
        ),
        Ok(Way::Sent) => fine(
            name,
            "the daemon does not see this machine's files; they are sent once a build".to_owned(),
            false,
        ),
        Err(error) => missing(name, &error),
    }
}

fn fine(name: &'static str, found: String, needed: bool) -> Probe {
    Probe {
        name,
        result: Ok(found),
        needed,
    }
}

fn missing(name: &'static str, error: &VmError) -> Probe {
    let remedy = error
        .remedy()
        .unwrap_or_else(|| "`docker version` tells more".to_owned());
    Probe {
        name,
        result: Err((error.to_string(), remedy)),
        needed: true,
    }
}

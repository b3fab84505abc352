//! `hm run` on each engine: the same verdicts and files, and what only a daemon can do wrong.

mod daemon;
mod kill;
mod parity;
mod podman;

use hm_tests::{Docker, Project, cannot};

/// Returns the daemon, or says that a test cannot run here.
fn docker(test: &str) -> Option<Docker> {
    Docker::find().map_err(|why| cannot(test, &why)).ok()
}

/// Lets a project's calls find the daemon.
fn with(docker: &Docker, project: Project) -> Project {
    project.env_for_all("DOCKER_HOST", docker.host())
}

/// Checks that nothing of a project is left at the daemon but what is kept.
#[track_caller]
fn assert_nothing_left(docker: &Docker, project: &Project) {
    // `KIND-hm-ID`, and for some where it is mounted.
    let folders = std::fs::read_dir(project.state().join("layers/kept"));
    let names: Vec<String> = folders
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|layer| {
            let id = layer.file_name().into_string().ok()?;
            Some(format!("hm-{}", id.split('-').nth(2)?))
        })
        .collect();
    let kept = |thing: &String| names.iter().any(|name| thing.contains(name));
    let left: Vec<_> = docker
        .things_of(project.state())
        .into_iter()
        .filter(|thing| !kept(thing))
        .collect();
    assert_eq!(left, [""; 0], "left at the daemon");
}

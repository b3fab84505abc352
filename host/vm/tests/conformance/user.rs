//! The same cases, as an ordinary user, who may use the daemon.

use std::fs;
use std::os::unix::fs::MetadataExt;

use hm_tests::{Docker, again_as_ordinary_user, assert_ran};

use crate::lab::{is_root, spawner};

#[test]
fn everything_holds_for_an_ordinary_user() {
    if !is_root() {
        // Then everything else here ran as one.
        return;
    }
    let docker = Docker::find().ok();
    let group = docker
        .as_ref()
        .and_then(|docker| docker.host().strip_prefix("unix://"))
        .and_then(|socket| fs::metadata(socket).ok())
        .map(|socket| socket.gid());
    let host = docker.iter().map(|docker| ("DOCKER_HOST", docker.host()));
    let variables: Vec<_> = host.collect();
    let done = again_as_ordinary_user(spawner()[0].as_ref(), group, &variables);
    assert_ran(&done, "sandbox::ends_are_told_apart");
}

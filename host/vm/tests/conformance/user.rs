//! The same, as an ordinary user. It may talk to the daemon as those do who are in the group
//! of its socket.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use hm_tests::Docker;

use crate::lab::{is_root, spawner};

const USER: &str = "hmtest";

#[test]
fn everything_holds_for_an_ordinary_user() {
    if !is_root() {
        // Then everything else here ran as one.
        return;
    }
    let known = || {
        Command::new("id")
            .args(["-u", USER])
            .output()
            .expect("`id` runs")
    };
    if !known().status.success() {
        let made = Command::new("useradd")
            .args(["--create-home", USER])
            .status();
        assert!(
            made.is_ok_and(|status| status.success()) || known().status.success(),
            "no user `{USER}` can be made"
        );
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let tests = folder.path().join("tests");
    let helper = folder.path().join("spawner");
    fs::copy(std::env::current_exe().expect("this program"), &tests).expect("a copy");
    fs::copy(&spawner()[0], &helper).expect("a copy");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--reset-env"]);
    let docker = Docker::find().ok();
    let group = docker
        .as_ref()
        .and_then(|docker| docker.host().strip_prefix("unix://"))
        .and_then(|socket| fs::metadata(socket).ok())
        .map(|socket| socket.gid());
    match group {
        Some(group) => command.args(["--groups", &group.to_string()]),
        None => command.arg("--clear-groups"),
    };
    command
        .arg("env")
        .arg(format!("HM_TEST_SPAWNER={}", helper.display()));
    if let Some(docker) = &docker {
        command.arg(format!("DOCKER_HOST={}", docker.host()));
    }
    let done = command
        .arg(&tests)
        .current_dir("/")
        .output()
        .expect("`setpriv` runs");
    let report = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success(),
        "{report}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(
        report.contains("test sandbox::ends_are_told_apart ... ok"),
        "{report}"
    );
}

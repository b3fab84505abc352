//! The same tests, as an ordinary user, and with root inside as root outside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::harness::{is_root, maps_ids, spawner};

const USER: &str = "hmtest";

#[test]
fn everything_holds_for_an_ordinary_user() {
    if !is_root() || !maps_ids() {
        // Then everything else here ran as one, or this is the other mode's turn.
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
    let done = Command::new("setpriv")
        .args([
            "--reuid",
            USER,
            "--regid",
            USER,
            "--clear-groups",
            "--reset-env",
        ])
        .arg("env")
        .arg(format!("HM_TEST_SPAWNER={}", helper.display()))
        .arg(&tests)
        .current_dir("/")
        .output()
        .expect("`setpriv` runs");
    check(&done);
}

#[test]
fn everything_holds_without_a_user_namespace() {
    if !is_root() || !maps_ids() {
        return;
    }
    let done = Command::new(std::env::current_exe().expect("this program"))
        .args(["--skip", "user::"])
        .env("HM_TEST_PLAIN_IDS", "1")
        .output()
        .expect("it runs");
    check(&done);
}

fn check(done: &std::process::Output) {
    let report = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success(),
        "{report}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(
        report.contains("test chains::a_chain_of_200_works ... ok"),
        "{report}"
    );
}

//! A test program once more, as an ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

const USER: &str = "hmtest";

/// Runs the calling test program again as an ordinary user, who is made if need be, in no
/// groups but `group`. A copy of `spawner`, the program that starts machines, is named in
/// `HM_TEST_SPAWNER`, as the user may not see this checkout. Only root can call this.
///
/// # Panics
/// If there is no such user and none can be made.
pub fn again_as_ordinary_user(
    spawner: &Path,
    group: Option<u32>,
    variables: &[(&str, &str)],
) -> Output {
    if !is_known() {
        let made = Command::new("useradd")
            .args(["--create-home", USER])
            .status();
        // Another test may have made it meanwhile.
        assert!(
            made.is_ok_and(|status| status.success()) || is_known(),
            "no user `{USER}` can be made"
        );
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let tests = folder.path().join("tests");
    let helper = folder.path().join("spawner");
    fs::copy(std::env::current_exe().expect("this program"), &tests).expect("a copy");
    fs::copy(spawner, &helper).expect("a copy");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--reset-env"]);
    match group {
        Some(group) => command.args(["--groups", &group.to_string()]),
        None => command.arg("--clear-groups"),
    };
    command
        .arg("env")
        .arg(format!("HM_TEST_SPAWNER={}", helper.display()))
        .args(
            variables
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        )
        .arg(&tests)
        .current_dir("/")
        .output()
        .expect("`setpriv` runs")
}

fn is_known() -> bool {
    let found = Command::new("id").args(["-u", USER]).output();
    found.expect("`id` runs").status.success()
}

/// Fails unless a test program passed, and ran the test of this name.
///
/// # Panics
/// With its report.
pub fn assert_ran(done: &Output, test: &str) {
    let report = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success(),
        "{report}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(report.contains(&format!("test {test} ... ok")), "{report}");
}

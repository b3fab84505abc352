//! The service, asked by clients that nobody here wrote: `harmont-cloud` 0.1.3 (v0) and
//! 0.2.0 (v1).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use hm_fake_cloud::{Config, FakeCloud, Machines, Oddities, Versions};
use hm_tests::cannot;
use tempfile::TempDir;

/// Returns a call of cargo on the program's own workspace.
fn cargo(words: &[&str]) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(words)
        .args(["--quiet", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/Cargo.toml"))
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS");
    cargo
}

/// Builds the program that calls, in a workspace and a folder of its own; none where the
/// clients cannot be fetched.
fn clients() -> Option<&'static Path> {
    static CLIENTS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let clients = CLIENTS.get_or_init(|| {
        if !cargo(&["fetch"]).status().expect("cargo runs").success() {
            return None;
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("published-clients");
        let mut build = cargo(&["build", "--offline"]);
        let built = build.arg("--target-dir").arg(&target).status();
        let is_built = built.expect("cargo runs").success();
        assert!(is_built, "the published clients do not build");
        Some(target.join("debug/hm-published-clients"))
    });
    clients.as_deref()
}

fn all_calls(version: &str, versions: Versions) {
    let Some(clients) = clients() else {
        cannot(
            "published_clients",
            "the clients cannot be fetched from the registry",
        );
        return;
    };
    let state = TempDir::new().unwrap();
    let spawner = vec![
        env!("CARGO_BIN_EXE_hm-fake-cloud").into(),
        "__sandbox".into(),
    ];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let entered = runtime.enter();
    let machines =
        Machines::open(state.path(), spawner, vec![("*".into(), "host".into())]).unwrap();
    drop(entered);
    let cloud = FakeCloud::start(Config {
        versions,
        oddities: Oddities {
            idle_ms: 100,
            ..Oddities::default()
        },
        ..Config::new("secret", Arc::new(machines))
    })
    .unwrap();
    cloud.discover("acme/widgets", "ci");
    let called = Command::new(clients)
        .args([&cloud.url(), "secret", version])
        .output()
        .expect("it was just built");
    let said = String::from_utf8_lossy(&called.stderr).into_owned();
    let violations = cloud.journal().violations();
    cloud.stop();
    assert!(called.status.success(), "{version}: {said}");
    assert_eq!(violations, [""; 0], "{version}");
}

#[test]
fn version_0_is_what_its_client_expects() {
    all_calls("v0", Versions::V0);
}

#[test]
fn version_1_is_what_its_client_expects() {
    all_calls("v1", Versions::V1);
}

#[test]
fn both_versions_at_once_are_what_either_expects() {
    all_calls("v0", Versions::Both);
    all_calls("v1", Versions::Both);
}

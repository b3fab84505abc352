//! The same as an ordinary user, who may not make devices but for whiteouts.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

use crate::tree::{World, merge};

/// `nobody`, whom every system has.
const NOBODY: u32 = 65534;

#[test]
fn an_ordinary_user_gets_the_same_layers() {
    if !rustix::process::geteuid().is_root() {
        return as_an_ordinary_user();
    }
    // The build's folder may be closed to others.
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("source");
    fs::copy(env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new(program)
        .args(["--ignored", "--exact", "user::as_an_ordinary_user"])
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[ignore = "run by an_ordinary_user_gets_the_same_layers, as that user"]
fn as_an_ordinary_user() {
    let world = World::with_ballast();
    world.write("closed/inner/file", "text");
    world.chmod("closed/inner", 0o555);
    world.write("gone/file", "text");
    world.write("x", "a file");
    world.freeze_and_compare();
    world.remove("gone");
    world.remove("x");
    world.write("x/inner", "a folder now");
    world.chmod("closed/inner", 0o755);
    world.write("closed/inner/more", "text");
    world.chmod("closed/inner", 0o555);
    let frozen = world.freeze_and_compare();
    assert_eq!(frozen.layers().len(), 2);
    assert_eq!(frozen.stats().removed, 2);
    // Layers with closed folders can be moved and deleted too.
    world.write("large", vec![b'x'; 90_000]);
    drop(frozen);
    assert_eq!(world.freeze_and_compare().layers().len(), 1);
    world.state.empty_trash();
    assert_eq!(fs::read_dir(world.state.trash()).unwrap().count(), 0);

    world.write("secret", "x");
    world.chmod("secret", 0);
    let frozen = world.freeze();
    assert_eq!(frozen.stats().unreadable, [Path::new("secret")]);
    assert!(!merge(&frozen, world.options.flavour).contains_key(Path::new("secret")));
    world.chmod("closed/inner", 0o755);
}

//! What the kernel makes of the layers. Needs root; the rest of these tests does not.

use std::ffi::CString;
use std::fs;
use std::path::Path;

use hm_vm::source::{self, Flavour};
use hm_vm::{FrozenSource, StateDir, VmError};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tempfile::TempDir;

use crate::tree::{Tree, World, merge, read};

/// Reads the layers through an overlay.
fn through_the_kernel(frozen: &FrozenSource, flavour: Flavour) -> Tree {
    let scratch = TempDir::new().unwrap();
    let at = scratch.path();
    for folder in ["image/workspace", "upper", "work", "root"] {
        fs::create_dir_all(at.join(folder)).unwrap();
    }
    fs::write(
        at.join("image/workspace/of-the-image"),
        "hidden by the base",
    )
    .unwrap();
    let mut lower: Vec<_> = frozen
        .layers()
        .iter()
        .map(|layer| layer.to_str().unwrap().to_owned())
        .collect();
    lower.push(at.join("image").to_str().unwrap().to_owned());
    let user = match flavour {
        Flavour::Trusted => "",
        Flavour::User => ",userxattr",
    };
    let data = format!(
        "lowerdir={},upperdir={at}/upper,workdir={at}/work{user}",
        lower.join(":"),
        at = at.display(),
    );
    with_own_mounts(|| {
        let data = CString::new(data).unwrap();
        mount(
            "overlay",
            at.join("root"),
            "overlay",
            MountFlags::empty(),
            data.as_c_str(),
        )
        .unwrap();
        read(&at.join("root/workspace"))
    })
}

/// Runs in a thread with mounts of its own, as do the threads that it starts.
fn with_own_mounts<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: only this thread gets other mounts, and it opens nothing that
            // others rely on.
            unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing_half_made() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::with_ballast();
    let folder = TempDir::new().unwrap();
    with_own_mounts(|| {
        let size = CString::new("size=64k,mode=700").unwrap();
        mount(
            "tmpfs",
            folder.path(),
            "tmpfs",
            MountFlags::empty(),
            size.as_c_str(),
        )
        .unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let error = source::freeze(&state, world.root(), &world.options).unwrap_err();
        assert!(matches!(error, VmError::Unavailable { .. }), "{error}");
        assert!(error.remedy().unwrap().contains("free some space"));
        state.empty_trash();
        world.write("ballast", "small enough");
        let frozen = source::freeze(&state, world.root(), &world.options).unwrap();
        assert_eq!(merge(&frozen, world.options.flavour), read(world.root()));
    });
}

/// Each round changes the tree; after each, both must be the same.
#[test]
fn the_kernel_shows_the_worktree() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for flavour in [Flavour::Trusted, Flavour::User] {
        let mut world = World::with_ballast();
        world.options.flavour = flavour;
        let check = |world: &World, layers: usize| {
            let frozen = world.freeze_and_compare();
            assert_eq!(frozen.layers().len(), layers);
            assert_eq!(through_the_kernel(&frozen, flavour), read(world.root()));
            frozen
        };
        world.write("x/old", "in the base");
        world.write("y", "a file");
        world.write("gone/deep/file", "text");
        world.link("nowhere", "dangling");
        world.mkdir("empty");
        check(&world, 1);
        world.remove("x");
        world.write("x", "a file now");
        world.remove("y");
        world.write("y/inner", "a folder now");
        world.remove("gone");
        let middle = check(&world, 2);
        world.remove("x");
        world.write("x/new", "a folder again");
        world.write("gone/again", "text");
        world.remove("empty");
        world.chmod("y", 0o700);
        check(&world, 3);
        world.write("large", vec![b'x'; 90_000]);
        check(&world, 1);
        // An earlier build goes on with what it had.
        let tree = through_the_kernel(&middle, flavour);
        assert!(tree.contains_key(Path::new("x")) && !tree.contains_key(Path::new("gone")));
    }
}

//! What a frozen source holds, and what it leaves out.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::tree::{Node, World, merge, non_utf8, read};
use hm_vm::StateDir;
use hm_vm::source::{EntryKind, LeftOut};

#[test]
fn everything_that_a_step_can_see_is_kept() {
    let world = World::new();
    world.write("plain", "text");
    world.write("bin/run", "#!/bin/sh\n");
    world.chmod("bin/run", 0o755);
    world.write("read-only", "text");
    world.chmod("read-only", 0o444);
    world.write(".hidden", "kept");
    world.write(Path::new("names").join(non_utf8()), "latin");
    world.write("names/with\nnewline and \\ and *", "odd");
    world.mkdir("empty/inner");
    world.mkdir("closed/inner");
    world.write("closed/inner/file", "text");
    world.chmod("closed/inner", 0o555);
    world.link("plain", "link");
    world.link("nowhere/at/all", "dangling");
    world.link("/etc/passwd", "absolute");
    world.link("bin", "folder-link");
    world.set_modified("plain", 1_000_000_000);

    let frozen = world.freeze_and_compare();
    let tree = merge(&frozen, world.options.flavour);
    assert!(
        matches!(&tree[Path::new("dangling")], Node::Link { target } if target == Path::new("nowhere/at/all"))
    );
    assert!(matches!(
        tree[Path::new("plain")],
        Node::File {
            modified: (1_000_000_000, 0),
            ..
        }
    ));
    let stats = frozen.stats();
    assert_eq!((stats.files, stats.symlinks, stats.directories), (7, 4, 6));
    assert!(stats.left_out.is_empty());
    world.chmod("closed/inner", 0o755);
}

#[test]
fn the_copies_are_no_links_to_the_worktree() {
    let world = World::new();
    world.write("file", "before");
    let frozen = world.freeze();
    fs::write(world.path("file"), "after").unwrap();
    let copy = frozen.layers()[0].join("workspace/file");
    assert_eq!(fs::read_to_string(&copy).unwrap(), "before");
    assert_eq!(fs::metadata(copy).unwrap().nlink(), 1);
}

#[test]
fn set_id_bits_and_owners_are_not_kept() {
    let world = World::new();
    world.write("tool", "x");
    world.chmod("tool", 0o6755);
    let frozen = world.freeze_and_compare();
    let copy = fs::metadata(frozen.layers()[0].join("workspace/tool")).unwrap();
    assert_eq!(copy.mode() & 0o7777, 0o755);
}

#[test]
fn sparse_files_stay_sparse_and_large_ones_whole() {
    let world = World::new();
    let file = fs::File::create(world.path("sparse")).unwrap();
    file.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"in the middle", 32 << 20).unwrap();
    let bytes: Vec<u8> = (0..1_000_003_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    world.write("large", &bytes);
    world.write("exactly-the-buffer", &bytes[..128 * 1024]);
    world.write("empty", "");
    let frozen = world.freeze_and_compare();
    let copy = fs::metadata(frozen.layers()[0].join("workspace/sparse")).unwrap();
    assert_eq!(copy.len(), 64 << 20);
    assert!(copy.blocks() * 512 < 1 << 20, "{} blocks", copy.blocks());
}

#[test]
fn what_ignore_files_say_is_left_out_without_a_repository_too() {
    let world = World::new();
    world.write(".gitignore", "target/\n*.log\n!keep.log\n/rooted\n");
    world.write("target/debug/out", "x");
    world.write("a/target/out", "x");
    world.write("noise.log", "x");
    world.write("keep.log", "x");
    world.write("rooted", "x");
    world.write("a/rooted", "x");
    world.write(".ignore", "by-ignore\n!rooted\n");
    world.write("by-ignore", "x");
    world.write(".hmignore", "by-hmignore\n!by-ignore\n");
    world.write("by-hmignore/file", "x");
    world.write("a/.gitignore", "!noise.log\ninner\n");
    world.write("a/noise.log", "x");
    world.write("a/b/inner", "x");
    assert_eq!(
        world.frozen_paths(),
        [
            ".gitignore",
            ".hmignore",
            ".ignore",
            "a",
            "a/.gitignore",
            "a/b",
            "a/noise.log",
            "a/rooted",
            "by-ignore",
            "keep.log",
            "rooted",
        ]
    );
    let stats = world.freeze().stats().clone();
    assert_eq!(stats.left_out[&LeftOut::Ignored], 5);
    assert!(
        stats.ignored.contains(&"a/target".into()),
        "{:?}",
        stats.ignored
    );
}

#[test]
fn git_and_the_pipelines_are_left_out_at_any_depth() {
    let mut world = World::new();
    world.write(".git/HEAD", "ref");
    world.write(".git/objects/x.log", "x");
    world.write(".git/info/exclude", "private\n");
    world.write(".gitignore", "*.log\n");
    world.write(".hm/ci.toml", "x");
    world.write("sub/.hm/ci.toml", "x");
    world.write("sub/.git", "gitdir: elsewhere");
    world.write(
        "sub/module.log",
        "kept: another repository's rules do not hold here",
    );
    world.write("private", "x");
    assert_eq!(
        world.frozen_paths(),
        [".gitignore", "sub", "sub/module.log"]
    );
    let left_out = world.freeze().stats().left_out.clone();
    assert_eq!((left_out[&LeftOut::Git], left_out[&LeftOut::Hm]), (2, 2));

    world.options.include_git = true;
    let paths = world.frozen_paths();
    for path in [".git/HEAD", ".git/objects/x.log", "sub/.git"] {
        assert!(
            paths.iter().any(|found| found == path),
            "{path} in {paths:?}"
        );
    }
}

#[test]
fn rules_of_the_repository_around_the_root_hold() {
    let world = World::new();
    world.write("tree/file", "x");
    world.write("tree/out/made", "x");
    world.write("tree/deep/rooted", "x");
    world.write(".gitignore", "out\n/tree/deep/rooted\n");
    let frozen = |world: &World| {
        hm_vm::source::freeze(&world.state, &world.path("tree"), &world.options).unwrap()
    };
    assert_eq!(frozen(&world).stats().files, 3);
    world.mkdir(".git");
    assert_eq!(frozen(&world).stats().files, 1);
}

#[test]
fn sockets_and_pipes_are_skipped_and_told() {
    let world = World::new();
    world.write("file", "x");
    let _listener = UnixListener::bind(world.path("socket")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        world.path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let frozen = world.freeze_and_compare();
    assert_eq!(
        frozen.stats().special,
        [Path::new("pipe"), Path::new("socket")]
    );
    assert_eq!(frozen.stats().left_out[&LeftOut::Special], 2);
}

#[test]
fn the_largest_entries_are_told() {
    let world = World::new();
    world.write("big/one", vec![0; 3000]);
    world.write("big/two", vec![0; 3000]);
    world.write("small", vec![0; 10]);
    let stats = world.freeze().stats().clone();
    let told: Vec<_> = stats
        .largest
        .iter()
        .map(|part| (part.name.to_str(), part.bytes, part.files))
        .collect();
    assert_eq!(told, [(Some("big"), 6000, 2), (Some("small"), 10, 1)]);
    assert_eq!(stats.bytes, 6010);
}

#[test]
fn entries_lead_to_the_frozen_copies() {
    let world = World::with_ballast();
    world.write("dir/changed", "before");
    world.freeze();
    world.write("dir/changed", "after");
    world.link("ballast", "link");
    let frozen = world.freeze();
    let entries: Vec<_> = frozen.entries().collect();
    let kinds: Vec<_> = entries
        .iter()
        .map(|entry| (entry.path.to_str().unwrap(), entry.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            ("ballast", EntryKind::File),
            ("dir", EntryKind::Directory),
            ("dir/changed", EntryKind::File),
            ("link", EntryKind::Symlink),
        ]
    );
    assert_eq!(entries[1].copy, None);
    let copy = entries[2].copy.as_ref().unwrap();
    assert_eq!(fs::read_to_string(copy).unwrap(), "after");
    assert!(entries[3].copy.as_ref().unwrap().is_symlink());
}

#[test]
fn a_root_that_is_no_folder_is_told() {
    let world = World::new();
    let missing = world.path("missing");
    let error = hm_vm::source::freeze(&world.state, &missing, &world.options).unwrap_err();
    assert!(
        error.to_string().contains(missing.to_str().unwrap()),
        "{error}"
    );
    world.write("file", "x");
    assert!(hm_vm::source::freeze(&world.state, &world.path("file"), &world.options).is_err());
}

#[test]
fn trees_do_not_share_a_store() {
    let (one, two) = (World::new(), World::new());
    one.write("file", "one");
    two.write("file", "two");
    let freeze = |world: &World| {
        let state = StateDir::open(one.state_root()).unwrap();
        hm_vm::source::freeze(&state, world.root(), &world.options).unwrap()
    };
    let (first, second) = (freeze(&one), freeze(&two));
    assert_eq!(merge(&first, one.options.flavour), read(one.root()));
    assert_eq!(merge(&second, one.options.flavour), read(two.root()));
}

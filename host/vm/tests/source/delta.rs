//! What is written from one build to the next.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::tree::{World, is_opaque, is_whiteout, merge, read};

/// Lets times of a worktree's files settle what is compared, without waiting: as if the
/// last build had been long after the last change.
fn age(world: &World) {
    // The mark of a racy entry goes with a comparison that begins late enough, so all
    // that can be done from outside is to wait out the two seconds once.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    world.freeze();
}

#[test]
fn nothing_changed_writes_nothing() {
    let world = World::with_ballast();
    world.write("a/b", "text");
    let first = world.freeze();
    let second = world.freeze();
    assert_eq!(first.layers(), second.layers());
    assert_eq!(
        (second.stats().copied_files, second.stats().removed),
        (0, 0)
    );
    assert_eq!(second.stats().files, 2);
}

#[test]
fn a_changed_file_is_the_only_one_in_its_delta() {
    let world = World::with_ballast();
    world.write("a/b/changed", "before");
    world.write("a/b/same", "text");
    world.freeze();
    world.write("a/b/changed", "after!");
    let frozen = world.freeze_and_compare();
    assert_eq!(frozen.layers().len(), 2);
    assert_eq!(frozen.stats().copied_files, 1);
    let delta = read(&frozen.layers()[0].join("workspace"));
    let paths: Vec<_> = delta.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(paths, ["", "a", "a/b", "a/b/changed"]);
}

#[test]
fn a_change_of_the_same_length_and_times_is_seen() {
    let world = World::with_ballast();
    world.write("file", "one");
    world.set_modified("file", 1_000_000_000);
    world.freeze();
    world.write("file", "two");
    world.set_modified("file", 1_000_000_000);
    world.freeze_and_compare();
}

#[test]
fn times_settle_it_once_they_are_old() {
    let world = World::with_ballast();
    world.write("file", "text");
    world.freeze();
    age(&world);
    world.write("file", "more");
    assert_eq!(world.freeze_and_compare().stats().copied_files, 1);
    // Replaced by itself: another inode, the same content and time.
    world.set_modified("file", 1_000_000_000);
    world.freeze();
    let copy = world.path("copy");
    fs::copy(world.path("file"), &copy).unwrap();
    fs::File::open(&copy)
        .unwrap()
        .set_modified(
            fs::metadata(world.path("file"))
                .unwrap()
                .modified()
                .unwrap(),
        )
        .unwrap();
    fs::rename(copy, world.path("file")).unwrap();
    let frozen = world.freeze_and_compare();
    assert_eq!(frozen.stats().copied_files, 0);
}

#[test]
fn what_is_removed_is_hidden_once() {
    let world = World::with_ballast();
    world.write("gone/deep/one", "x");
    world.write("gone/two", "x");
    world.write("stays/gone", "x");
    world.write("stays/here", "x");
    world.freeze();
    world.remove("gone");
    world.remove("stays/gone");
    let frozen = world.freeze_and_compare();
    assert_eq!(frozen.stats().removed, 5);
    let delta = frozen.layers()[0].join("workspace");
    assert!(is_whiteout(&delta.join("gone").symlink_metadata().unwrap()));
    assert!(is_whiteout(
        &delta.join("stays/gone").symlink_metadata().unwrap()
    ));
    assert!(!delta.join("stays/here").exists());
    // And back again, over the whiteout.
    world.write("gone/three", "x");
    let frozen = world.freeze_and_compare();
    assert!(is_opaque(
        &frozen.layers()[0].join("workspace/gone"),
        world.options.flavour
    ));
}

#[test]
fn what_becomes_ignored_goes_and_comes_back() {
    let world = World::with_ballast();
    world.write("notes/a", "x");
    world.freeze();
    world.write(".gitignore", "notes\n");
    assert_eq!(world.frozen_paths(), [".gitignore", "ballast"]);
    world.remove(".gitignore");
    world.freeze_and_compare();
}

#[test]
fn kinds_change_and_change_back() {
    let world = World::with_ballast();
    world.write("x/old", "in the base");
    world.write("y", "a file");
    world.link("y", "z");
    world.freeze_and_compare();
    world.remove("x");
    world.write("x", "a file now");
    world.remove("y");
    world.write("y/inner", "a folder now");
    world.remove("z");
    world.mkdir("z");
    world.freeze_and_compare();
    world.remove("x");
    world.write("x/new", "a folder again");
    world.remove("y");
    world.link("x", "y");
    world.remove("z");
    world.write("z", "a file");
    let frozen = world.freeze_and_compare();
    assert_eq!(frozen.layers().len(), 3);
    assert!(is_opaque(
        &frozen.layers()[0].join("workspace/x"),
        world.options.flavour
    ));
}

#[test]
fn modes_change_without_content() {
    let world = World::with_ballast();
    world.write("dir/tool", "x");
    world.write("dir/other", "x");
    world.freeze();
    world.chmod("dir/tool", 0o755);
    world.freeze_and_compare();
    world.chmod("dir", 0o700);
    let frozen = world.freeze_and_compare();
    assert_eq!(frozen.stats().copied_files, 0);
    assert_eq!(frozen.layers().len(), 3);
}

#[test]
fn a_folder_touched_by_what_is_ignored_makes_no_layer() {
    let world = World::with_ballast();
    world.write(".gitignore", "target\n");
    let first = world.freeze();
    world.write("target/out", "x");
    assert_eq!(first.layers(), world.freeze().layers());
}

#[test]
fn many_deltas_become_a_base_and_each_build_keeps_its_own() {
    let world = World::with_ballast();
    let mut builds = Vec::new();
    for number in 0..40 {
        world.write(format!("files/{}", number % 7), format!("build {number}"));
        if number % 5 == 4 && number > 7 {
            world.remove(&format!("files/{}", (number + 1) % 7));
        }
        let frozen = world.freeze_and_compare();
        assert!(frozen.layers().len() <= 17);
        builds.push((frozen, read(world.root())));
    }
    assert!(builds.iter().any(|(frozen, _)| frozen.layers().len() == 17));
    for (frozen, tree) in &builds {
        assert_eq!(&merge(frozen, world.options.flavour), tree);
    }
    drop(builds);
    let last = world.freeze();
    world.write("files/0", "one more");
    let frozen = world.freeze_and_compare();
    let layers = frozen.layers()[0].parent().unwrap();
    let left = fs::read_dir(layers).unwrap().count();
    assert!(
        left <= last.layers().len() + frozen.layers().len(),
        "{left} layers"
    );
}

#[test]
fn a_large_change_makes_a_base_without_copying_the_rest() {
    let world = World::with_ballast();
    world.freeze();
    world.write("large", vec![b'x'; 90_000]);
    let frozen = world.freeze_and_compare();
    assert_eq!(frozen.layers().len(), 1);
    assert_eq!(
        (frozen.stats().copied_files, frozen.stats().copied_bytes),
        (1, 90_000)
    );
}

#[test]
fn an_interrupted_freeze_is_cleared_away() {
    let world = World::with_ballast();
    world.freeze();
    let store = fs::read_dir(world.state.source())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::create_dir_all(store.join("new-half/workspace")).unwrap();
    fs::write(store.join("new-half/workspace/file"), "half").unwrap();
    fs::create_dir_all(store.join("layers/unknown/workspace")).unwrap();
    world.write("file", "x");
    world.freeze_and_compare();
    assert!(!store.join("new-half").exists());
    assert!(!store.join("layers/unknown").exists());
}

#[test]
fn a_torn_manifest_or_a_lost_layer_means_a_new_base() {
    let world = World::with_ballast();
    world.freeze();
    let store = fs::read_dir(world.state.source())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let manifest = store.join("manifest");
    let bytes = fs::read(&manifest).unwrap();
    for broken in [&bytes[..bytes.len() - 1], &bytes[..10], &[]] {
        fs::write(&manifest, broken).unwrap();
        world.write("file", "x");
        assert_eq!(world.freeze_and_compare().layers().len(), 1);
    }
    world.write("other", "x");
    let frozen = world.freeze();
    fs::remove_dir_all(&frozen.layers()[0]).unwrap();
    assert_eq!(world.freeze_and_compare().layers().len(), 1);
}

#[test]
fn a_store_that_a_power_loss_may_have_torn_is_made_again() {
    let world = World::with_ballast();
    world.freeze();
    let store = fs::read_dir(world.state.source())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let manifest = store.join("manifest");
    let mut bytes = fs::read(&manifest).unwrap();
    // The boot that it was written in, after magic and generation.
    bytes[24..40].fill(7);
    fs::write(&manifest, &bytes).unwrap();
    assert_eq!(world.freeze_and_compare().stats().copied_files, 1);
    // Known to be on the disk, an earlier boot's store is as good as any.
    let mut bytes = fs::read(&manifest).unwrap();
    bytes[24..40].fill(7);
    fs::write(&manifest, &bytes).unwrap();
    fs::write(store.join("synced"), &bytes[8..24]).unwrap();
    assert_eq!(world.freeze_and_compare().stats().copied_files, 0);
}

#[test]
fn two_freezes_at_once_are_both_right() {
    let world = Arc::new(World::with_ballast());
    for round in 0..5 {
        world.write("file", format!("round {round}"));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let world = Arc::clone(&world);
                std::thread::spawn(move || {
                    let frozen = world.freeze();
                    (merge(&frozen, world.options.flavour), read(world.root()))
                })
            })
            .collect();
        for thread in threads {
            let (frozen, tree) = thread.join().unwrap();
            assert_eq!(frozen, tree);
        }
    }
}

#[test]
fn a_file_that_is_written_to_all_the_time_is_told_or_whole() {
    let world = Arc::new(World::new());
    for number in 0..50 {
        world.write(format!("{number}"), vec![b'a'; 40_000]);
    }
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (world, stop) = (Arc::clone(&world), Arc::clone(&stop));
        move || {
            let mut letter = b'a';
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                letter = if letter == b'z' { b'a' } else { letter + 1 };
                // Written beside and renamed, so that each version is of one letter.
                fs::write(world.path("beside"), vec![letter; 40_000]).unwrap();
                fs::rename(world.path("beside"), world.path("7")).unwrap();
            }
        }
    });
    for _ in 0..10 {
        let frozen = world.freeze();
        let tree = merge(&frozen, world.options.flavour);
        let crate::tree::Node::File { bytes, .. } = &tree[Path::new("7")] else {
            panic!("it is a file");
        };
        assert!(bytes.iter().all(|byte| *byte == bytes[0]) && bytes.len() == 40_000);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    world.freeze_and_compare();
}

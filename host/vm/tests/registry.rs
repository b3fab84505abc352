//! The registry as several processes see it. Each handle is an owner of its own, as a
//! process would be.

use std::fs;
use std::sync::Arc;

use hm_vm::registry::{Claim, Registry};
use hm_vm::{LayerRecord, SnapshotRecord, StateDir, VmError};
use tempfile::TempDir;

const ENGINE: &str = "sandbox";

fn state() -> (TempDir, StateDir) {
    let folder = TempDir::new().unwrap();
    let state = StateDir::open(folder.path()).unwrap();
    (folder, state)
}

fn open(state: &StateDir) -> Arc<Registry> {
    Arc::new(Registry::open(state).unwrap())
}

fn record(id: &str, layers: &[(&str, u64)]) -> SnapshotRecord {
    SnapshotRecord {
        id: id.to_owned(),
        flavour: "trusted".to_owned(),
        image: None,
        layers: layers
            .iter()
            .map(|(id, bytes)| LayerRecord {
                id: (*id).to_owned(),
                bytes: *bytes,
            })
            .collect(),
    }
}

fn keys(registry: &Registry) -> Vec<String> {
    let mut keys: Vec<_> = registry
        .list()
        .unwrap()
        .into_iter()
        .map(|entry| entry.key)
        .collect();
    keys.sort();
    keys
}

/// Stores as a process that ends right after.
fn store_and_end(state: &StateDir, key: &str, record: &SnapshotRecord) {
    open(state).store(key, ENGINE, record).unwrap();
}

fn hit(claim: Claim) -> Vec<SnapshotRecord> {
    match claim {
        Claim::Hit(records) => records,
        other => panic!("expected a hit, got {other:?}"),
    }
}

#[test]
fn what_one_process_stores_another_finds() {
    let (_folder, state) = state();
    let stored = record("s1", &[("top", 10), ("bottom", 20)]);
    store_and_end(&state, "key", &stored);

    let registry = open(&state);
    assert_eq!(hit(registry.claim("key", ENGINE).unwrap()), [stored]);
    assert!(matches!(
        registry.claim("key", "docker").unwrap(),
        Claim::Build(_)
    ));
    let entry = &registry.list().unwrap()[0];
    assert_eq!((entry.bytes, entry.layers, entry.in_use), (30, 2, true));
}

#[test]
fn a_repository_keeps_its_identity_and_shares_it_with_no_other() {
    let (_folder, state) = state();
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let registry = open(&state);
    let first = registry.repository_id(one.path()).unwrap();
    assert_ne!(first, registry.repository_id(two.path()).unwrap());
    drop(registry);
    let link = two.path().join("link");
    std::os::unix::fs::symlink(one.path(), &link).unwrap();
    assert_eq!(first, open(&state).repository_id(&link).unwrap());
    let missing = open(&state).repository_id(&two.path().join("missing"));
    assert!(matches!(missing, Err(VmError::Io { .. })));
}

#[test]
fn the_newest_of_a_key_is_found_and_the_one_before_goes_when_unused() {
    let (_folder, state) = state();
    store_and_end(&state, "key", &record("old", &[("a", 5), ("shared", 5)]));
    let registry = open(&state);
    registry
        .store("key", ENGINE, &record("new", &[("b", 5), ("shared", 5)]))
        .unwrap();
    assert_eq!(hit(registry.claim("key", ENGINE).unwrap())[0].id, "new");
    let removed = registry.evict(ENGINE, u64::MAX).unwrap();
    assert_eq!((removed.snapshots, removed.layers), (1, vec!["a".into()]));
    assert_eq!(registry.bytes(ENGINE).unwrap(), 10);
}

#[test]
fn eviction_takes_the_least_recently_used_until_it_fits() {
    let (_folder, state) = state();
    for key in ["one", "two", "three"] {
        store_and_end(&state, key, &record(key, &[(key, 100)]));
    }
    // Used again, by a process that has ended since.
    hit(open(&state).claim("one", ENGINE).unwrap());
    let registry = open(&state);
    let removed = registry.evict(ENGINE, 150).unwrap();
    assert_eq!((removed.snapshots, removed.bytes), (2, 200));
    assert_eq!(keys(&registry), ["one"]);
}

#[test]
fn eviction_never_takes_what_a_living_process_uses() {
    let (_folder, state) = state();
    store_and_end(&state, "used", &record("used", &[("a", 100)]));
    store_and_end(&state, "unused", &record("unused", &[("b", 100)]));
    let user = open(&state);
    hit(user.claim("used", ENGINE).unwrap());

    let other = open(&state);
    assert_eq!(other.evict(ENGINE, 0).unwrap().layers, ["b"]);
    assert_eq!(other.clear(ENGINE).unwrap().1, 1);
    other.removed(ENGINE, &["b".to_owned()]).unwrap();
    assert!(other.evict(ENGINE, 0).unwrap().layers.is_empty());

    drop(user);
    assert_eq!(other.evict(ENGINE, 0).unwrap().layers, ["a"]);
}

#[test]
fn a_shared_layer_stays_as_long_as_a_snapshot_needs_it() {
    let (_folder, state) = state();
    store_and_end(&state, "parent", &record("p", &[("base", 100)]));
    store_and_end(
        &state,
        "child",
        &record("c", &[("delta", 10), ("base", 100)]),
    );
    let registry = open(&state);
    assert_eq!(registry.bytes(ENGINE).unwrap(), 110);
    registry.forget("parent", ENGINE).unwrap();
    let removed = registry.evict(ENGINE, u64::MAX).unwrap();
    assert_eq!((removed.snapshots, removed.layers.len()), (1, 0));
    registry.forget("child", ENGINE).unwrap();
    let removed = registry.evict(ENGINE, u64::MAX).unwrap();
    assert_eq!(removed.layers, ["base", "delta"]);
}

#[test]
fn layers_are_told_until_they_are_known_to_be_removed() {
    let (_folder, state) = state();
    store_and_end(&state, "key", &record("s", &[("layer", 1)]));
    let registry = open(&state);
    assert_eq!(registry.evict(ENGINE, 0).unwrap().layers, ["layer"]);
    drop(registry);
    // The process ended before its engine could remove them.
    let registry = open(&state);
    assert_eq!(registry.evict(ENGINE, 0).unwrap().layers, ["layer"]);
    registry.removed(ENGINE, &["layer".to_owned()]).unwrap();
    assert!(registry.evict(ENGINE, 0).unwrap().layers.is_empty());
}

#[tokio::test]
async fn a_key_is_built_once_and_the_others_wait() {
    let (_folder, state) = state();
    let (builder, waiter) = (open(&state), open(&state));
    let Claim::Build(guard) = builder.claim("key", ENGINE).unwrap() else {
        panic!("nobody builds it yet");
    };
    let Claim::Wait(waiting) = waiter.claim("key", ENGINE).unwrap() else {
        panic!("somebody builds it");
    };
    // Within one process too.
    assert!(matches!(
        builder.claim("key", ENGINE).unwrap(),
        Claim::Wait(_)
    ));
    let wait = tokio::spawn(waiting.wait());
    builder
        .store("key", ENGINE, &record("s", &[("l", 1)]))
        .unwrap();
    drop(guard);
    wait.await.unwrap().unwrap();
    assert_eq!(hit(waiter.claim("key", ENGINE).unwrap())[0].id, "s");
}

#[tokio::test]
async fn a_builder_that_fails_or_dies_hands_the_key_on() {
    let (_folder, state) = state();
    let waiter = open(&state);
    for dies in [false, true] {
        let builder = open(&state);
        let Claim::Build(guard) = builder.claim("key", ENGINE).unwrap() else {
            panic!("the key is free");
        };
        let Claim::Wait(waiting) = waiter.claim("key", ENGINE).unwrap() else {
            panic!("the key is taken");
        };
        if dies {
            // A process that is killed drops nothing; the kernel drops its lock.
            let lock = fs::read_dir(state.owners())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .max_by_key(|path| fs::metadata(path).unwrap().created().unwrap())
                .unwrap();
            fs::remove_file(lock).unwrap();
            std::mem::forget(guard);
        } else {
            drop(guard);
        }
        waiting.wait().await.unwrap();
        let Claim::Build(guard) = waiter.claim("key", ENGINE).unwrap() else {
            panic!("the key is free again");
        };
        drop(guard);
    }
}

#[test]
fn a_broken_registry_is_set_aside_and_told() {
    for broken in [
        &b"this is no database, but long enough to be read as one"[..],
        &[],
    ] {
        let (folder, state) = state();
        store_and_end(&state, "key", &record("s", &[("l", 1)]));
        let path = state.registry();
        // So that the database itself has it all; its log could make up for a loss.
        drop(rusqlite::Connection::open(&path).and_then(|connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        }));
        if broken.is_empty() {
            // Torn: the first page is there, what it points to is not.
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..5000]).unwrap();
        } else {
            fs::write(&path, broken).unwrap();
        }
        let registry = open(&state);
        let warnings = registry.take_warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("set aside as"), "{warnings:?}");
        assert!(registry.take_warnings().is_empty());
        assert!(keys(&registry).is_empty());
        registry
            .store("key", ENGINE, &record("s", &[("l", 1)]))
            .unwrap();
        assert_eq!(keys(&registry), ["key"]);
        let aside = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("registry.sqlite.corrupt-"))
            .count();
        assert!(aside >= 1);
    }
}

#[test]
fn a_registry_without_its_tables_is_set_aside() {
    let (_folder, state) = state();
    let connection = rusqlite::Connection::open(state.registry()).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    drop(connection);
    let registry = open(&state);
    assert_eq!(registry.take_warnings().len(), 1);
    assert!(keys(&registry).is_empty());
}

#[test]
fn a_registry_of_a_newer_version_is_left_alone() {
    let (_folder, state) = state();
    store_and_end(&state, "key", &record("s", &[("l", 1)]));
    let connection = rusqlite::Connection::open(state.registry()).unwrap();
    connection.pragma_update(None, "user_version", 999).unwrap();
    drop(connection);
    let error = Registry::open(&state).unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
    assert!(error.remedy().is_some());
}

#[test]
fn snapshots_that_a_power_loss_may_have_torn_are_dropped() {
    let (_folder, state) = state();
    store_and_end(&state, "unsynced", &record("u", &[("a", 1)]));
    store_and_end(&state, "synced", &record("s", &[("b", 1)]));
    let connection = rusqlite::Connection::open(state.registry()).unwrap();
    connection
        .execute_batch(
            "UPDATE snapshot SET boot_id = 'an earlier boot';
             UPDATE snapshot SET synced = 1 WHERE key = 'synced';",
        )
        .unwrap();
    drop(connection);
    assert_eq!(keys(&open(&state)), ["synced"]);
}

#[test]
fn kept_folders_that_nobody_knows_go_when_nobody_else_lives() {
    let (_folder, state) = state();
    store_and_end(&state, "key", &record("s", &[("known", 1)]));
    for layer in ["known", "unknown"] {
        fs::create_dir(state.kept_layers().join(layer)).unwrap();
    }
    let living = Registry::open(&state).unwrap();
    assert!(!state.kept_layers().join("unknown").exists());
    // Kept by `living`, which has yet to store it.
    fs::create_dir(state.kept_layers().join("fresh")).unwrap();
    let other = Registry::open(&state).unwrap();
    assert!(state.kept_layers().join("fresh").exists());
    drop((living, other));
    drop(Registry::open(&state).unwrap());
    assert!(!state.kept_layers().join("fresh").exists());
    assert!(state.kept_layers().join("known").exists());
}

#[test]
fn many_processes_store_and_look_up_at_once() {
    let (_folder, state) = state();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let state = &state;
            scope.spawn(move || {
                let registry = open(state);
                for step in 0..20 {
                    let key = format!("{worker}-{step}");
                    registry
                        .store(&key, ENGINE, &record(&key, &[(&key, 1)]))
                        .unwrap();
                    hit(registry.claim(&key, ENGINE).unwrap());
                }
            });
        }
    });
    let registry = open(&state);
    assert_eq!(keys(&registry).len(), 80);
    assert_eq!(fs::read_dir(state.owners()).unwrap().count(), 1);
}

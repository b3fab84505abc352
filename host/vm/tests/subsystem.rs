//! The subsystem over an engine that keeps its snapshots in a folder and runs nothing.

use std::any::Any;
use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hm_vm::{
    BootSpec, CacheClaim, FreezeOptions, LayerRecord, Machine, Progress, Snapshot, SnapshotRecord,
    StateDir, Subsystem, SubsystemConfig, Support, VmBackend, VmError,
};
use tempfile::TempDir;

#[derive(Debug)]
struct FolderSnapshot {
    id: String,
}

impl Snapshot for FolderSnapshot {
    fn id(&self) -> &str {
        &self.id
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Keeps a snapshot as a folder of its name among the kept layers.
#[derive(Default)]
struct FolderEngine {
    state: Option<StateDir>,
    kept: Mutex<BTreeSet<String>>,
    reaps: AtomicUsize,
}

impl FolderEngine {
    fn has(&self, layer: &str) -> bool {
        match &self.state {
            Some(state) => state.kept_layers().join(layer).exists(),
            None => self.kept.lock().unwrap().contains(layer),
        }
    }
}

#[async_trait]
impl VmBackend for FolderEngine {
    fn name(&self) -> &'static str {
        "folder"
    }

    fn support(&self) -> Support {
        Support::default()
    }

    async fn image_id(&self, image: &str, _: &Progress) -> Result<String, VmError> {
        Ok(image.to_owned())
    }

    async fn boot(&self, _: BootSpec) -> Result<Box<dyn Machine>, VmError> {
        Err(VmError::Other("this engine runs nothing".to_owned()))
    }

    async fn keep(&self, snapshot: &Arc<dyn Snapshot>) -> Result<SnapshotRecord, VmError> {
        let id = snapshot.id().to_owned();
        match &self.state {
            Some(state) => fs::create_dir_all(state.kept_layers().join(&id)).unwrap(),
            None => drop(self.kept.lock().unwrap().insert(id.clone())),
        }
        Ok(SnapshotRecord {
            id: id.clone(),
            flavour: "user".to_owned(),
            image: None,
            layers: vec![LayerRecord { id, bytes: 100 }],
        })
    }

    async fn open(&self, record: &SnapshotRecord) -> Result<Option<Arc<dyn Snapshot>>, VmError> {
        let id = record.id.clone();
        Ok(self
            .has(&id)
            .then(|| Arc::new(FolderSnapshot { id }) as Arc<dyn Snapshot>))
    }

    async fn remove_layers(&self, layers: &[String]) -> Result<(), VmError> {
        for layer in layers {
            match &self.state {
                Some(state) => state.discard(&state.kept_layers().join(layer))?,
                None => drop(self.kept.lock().unwrap().remove(layer)),
            }
        }
        Ok(())
    }

    async fn reap(&self) -> Result<usize, VmError> {
        self.reaps.fetch_add(1, Ordering::Relaxed);
        Ok(0)
    }

    async fn settle(&self) {}
}

fn snapshot(id: &str) -> Arc<dyn Snapshot> {
    Arc::new(FolderSnapshot { id: id.to_owned() })
}

/// A state folder, and as many runs over it as are opened.
struct World {
    _folder: TempDir,
    state: StateDir,
}

impl World {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let state = StateDir::open(&folder.path().join("state/hm")).unwrap();
        Self {
            _folder: folder,
            state,
        }
    }

    fn run(&self, cache_bytes: u64) -> Subsystem {
        let engine = Arc::new(FolderEngine {
            state: Some(self.state.clone()),
            ..FolderEngine::default()
        });
        Subsystem::open(SubsystemConfig {
            cache_bytes,
            ..SubsystemConfig::new(self.state.clone(), engine)
        })
        .unwrap()
    }

    /// Runs that end before the next begins; all background work is done.
    async fn store(&self, key: &str) {
        let run = self.run(u64::MAX);
        run.cache_store(key, &snapshot(key)).await.unwrap();
        run.settle().await;
    }
}

async fn found(run: &Subsystem, key: &str) -> Option<String> {
    let snapshot = run.cache_lookup(key).await.unwrap()?;
    Some(snapshot.id().to_owned())
}

#[tokio::test]
async fn a_later_run_finds_what_an_earlier_one_stored() {
    let world = World::new();
    world.store("key").await;
    let run = world.run(u64::MAX);
    assert_eq!(found(&run, "key").await.as_deref(), Some("key"));
    assert_eq!(found(&run, "other").await, None);
    run.forget("key").await.unwrap();
    assert_eq!(found(&run, "key").await, None);
}

#[tokio::test]
async fn a_snapshot_whose_files_are_gone_is_a_miss() {
    let world = World::new();
    world.store("key").await;
    fs::remove_dir(world.state.kept_layers().join("key")).unwrap();
    let run = world.run(u64::MAX);
    assert!(matches!(
        run.cache_claim("key").await.unwrap(),
        CacheClaim::Build(_)
    ));
    assert!(run.cache_list().await.unwrap().is_empty());
}

#[tokio::test]
async fn one_run_builds_while_the_other_waits_and_then_hits() {
    let world = World::new();
    let (one, two) = (world.run(u64::MAX), world.run(u64::MAX));
    let CacheClaim::Build(guard) = one.cache_claim("key").await.unwrap() else {
        panic!("nobody builds it yet");
    };
    let CacheClaim::Wait(waiting) = two.cache_claim("key").await.unwrap() else {
        panic!("it is being built");
    };
    one.cache_store("key", &snapshot("result")).await.unwrap();
    drop(guard);
    waiting.wait().await.unwrap();
    let CacheClaim::Hit(hit) = two.cache_claim("key").await.unwrap() else {
        panic!("it is stored");
    };
    assert_eq!(hit.id(), "result");
}

#[tokio::test]
async fn the_cache_stays_within_its_bytes_but_for_what_is_used() {
    let world = World::new();
    for key in ["one", "two", "three"] {
        world.store(key).await;
    }
    let user = world.run(u64::MAX);
    assert!(found(&user, "one").await.is_some());
    // A new run with room for a single snapshot clears away as it starts.
    let run = world.run(100);
    run.settle().await;
    let left: Vec<_> = run.cache_list().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].key.as_str(), left[0].in_use), ("one", true));
    assert!(!world.state.kept_layers().join("two").exists());
    assert_eq!(fs::read_dir(world.state.trash()).unwrap().count(), 0);

    let (removed, used) = run.cache_clear().await.unwrap();
    assert_eq!((removed.snapshots, used), (0, 1));
    // What it does in the background as it starts is its use too.
    user.settle().await;
    drop(user);
    let removed = run.cache_prune(0).await.unwrap();
    assert_eq!((removed.snapshots, removed.bytes), (1, 100));
    assert!(!world.state.kept_layers().join("one").exists());
}

#[tokio::test]
async fn the_start_reaps_and_a_broken_registry_is_only_a_warning() {
    let world = World::new();
    world.store("key").await;
    fs::write(world.state.registry(), vec![7; 10_000]).unwrap();
    fs::remove_file(world.state.root().join("registry.sqlite-wal")).unwrap();
    fs::write(world.state.trash().join("leaving"), "").unwrap();
    let engine = Arc::new(FolderEngine::default());
    let run = Subsystem::open(SubsystemConfig::new(world.state.clone(), engine.clone())).unwrap();
    assert_eq!(run.warnings().len(), 1);
    assert_eq!(found(&run, "key").await, None);
    run.settle().await;
    assert_eq!(engine.reaps.load(Ordering::Relaxed), 1);
    assert!(!world.state.trash().join("leaving").exists());
}

#[tokio::test]
async fn an_ephemeral_subsystem_works_and_leaves_nothing() {
    let run = Subsystem::ephemeral(Arc::new(FolderEngine::default())).unwrap();
    let folder = run.state().root().to_owned();
    run.cache_store("key", &snapshot("s")).await.unwrap();
    assert_eq!(found(&run, "key").await.as_deref(), Some("s"));
    let tree = TempDir::new().unwrap();
    fs::write(tree.path().join("file"), "text").unwrap();
    let source = run
        .freeze_source(tree.path(), FreezeOptions::default())
        .await
        .unwrap();
    assert_eq!(
        fs::read_to_string(source.layers()[0].join("workspace/file")).unwrap(),
        "text"
    );
    run.sync().await.unwrap();
    run.settle().await;
    drop((run, source));
    assert!(!folder.exists());
}

#[tokio::test]
async fn source_that_was_synced_is_good_after_a_power_loss() {
    let world = World::new();
    let tree = TempDir::new().unwrap();
    fs::write(tree.path().join("file"), "text").unwrap();
    for (sync, copied) in [(false, 1), (true, 0)] {
        let run = world.run(u64::MAX);
        run.settle().await;
        let options = FreezeOptions::default();
        let frozen = run.freeze_source(tree.path(), options).await.unwrap();
        let manifest = frozen.layers()[0].join("../../manifest");
        if sync {
            run.sync().await.unwrap();
        }
        // As if another boot had written it.
        let mut bytes = fs::read(&manifest).unwrap();
        bytes[24..40].fill(7);
        fs::write(&manifest, bytes).unwrap();
        let frozen = run.freeze_source(tree.path(), options).await.unwrap();
        assert_eq!(frozen.stats().copied_files, copied);
    }
}

#[tokio::test]
async fn the_source_of_a_folder_that_is_gone_goes_when_no_build_uses_it() {
    let world = World::new();
    let tree = TempDir::new().unwrap();
    fs::write(tree.path().join("file"), "text").unwrap();
    let stores = || fs::read_dir(world.state.source()).unwrap().count();
    let run = world.run(u64::MAX);
    run.settle().await;
    let frozen = run
        .freeze_source(tree.path(), FreezeOptions::default())
        .await
        .unwrap();
    tree.close().unwrap();
    assert_eq!(run.reap().await.unwrap(), 0);
    assert!(frozen.layers()[0].join("workspace/file").exists());
    drop(frozen);
    assert!(run.reap().await.unwrap() > 0);
    assert_eq!(stores(), 0);
}

#[test]
fn it_opens_without_a_runtime() {
    let world = World::new();
    drop(world.run(u64::MAX));
}

#[test]
fn a_state_folder_that_others_could_swap_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let open = folder.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let error = StateDir::open(&open.join("hm")).unwrap_err();
    assert!(
        error.to_string().contains("can be written by everyone"),
        "{error}"
    );
    assert!(error.remedy().is_some());
    // Sticky, as /tmp is, nobody but the owner can.
    fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
    let state = StateDir::open(&open.join("hm")).unwrap();
    let mode = fs::metadata(state.root()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
}

#[test]
fn a_file_in_the_place_of_the_state_folder_is_told() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("hm");
    fs::write(&path, "").unwrap();
    let error = StateDir::open(&path).unwrap_err();
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
    assert!(error.remedy().unwrap().contains("move the file"));
}

#[tokio::test]
async fn the_registrys_log_does_not_grow_from_run_to_run() {
    let world = World::new();
    let log = || {
        let path = world.state.root().join("registry.sqlite-wal");
        fs::metadata(path).map_or(0, |found| found.len())
    };
    let run = world.run(u64::MAX);
    run.settle().await;
    for number in 0..200 {
        let name = format!("s{number}");
        run.cache_store(&name, &snapshot(&name)).await.unwrap();
    }
    drop(run);
    assert!(log() > 1 << 20, "{}", log());
    let run = world.run(u64::MAX);
    run.settle().await;
    assert!(log() < 1 << 20, "{}", log());
    assert_eq!(found(&run, "s7").await.as_deref(), Some("s7"));
}

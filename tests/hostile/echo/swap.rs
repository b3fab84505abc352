//! Files that are swapped while `hm` looks at them (L7): what runs is what was allowed.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hm_exec::{CodeCache, ComponentSource, Runtime, RuntimeConfig};
use hm_tests::Project;

use crate::stage::{by, digest, echo, grant, misbehave, one_step};

/// Runs of each way to swap. Each takes some ten milliseconds and both components are
/// cached, so that the file is read at every moment of the swapping.
const RUNS: usize = 40;

/// Runs the granted component while `swap` puts the other one in its place and back.
fn race(swap: impl Fn(&Path, &[u8], usize) + Sync) {
    let project = one_step();
    grant(&project, echo(), &[]);
    let (good, evil) = (fs::read(echo()).unwrap(), fs::read(misbehave()).unwrap());
    let path = project.path().join("backend.wasm");
    fs::write(&path, &good).unwrap();
    race_in(&project, &path, |turn| {
        swap(&path, if turn % 2 == 0 { &evil } else { &good }, turn);
    });
}

/// Runs what lies at a path while it is turned into something else and back.
fn race_in(project: &Project, path: &Path, turned: impl Fn(usize) + Sync) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                turned(turn);
            }
        });
        let codes: Vec<_> = (0..RUNS).map(|_| run(project, path)).collect();
        over.store(true, Ordering::Relaxed);
        assert!(
            codes.iter().all(|code| [0, 6, 8].contains(code)),
            "{codes:?}"
        );
    });
}

/// Each run either does what was allowed or nothing; its record has the digest of what ran.
#[track_caller]
fn run(project: &Project, path: &Path) -> i32 {
    let finished = by(project, path).run();
    let code = finished.code().unwrap();
    match code {
        0 => {
            assert_eq!(finished.build().step("a").stdout(), ["echo one"]);
            let record = project.records().pop().unwrap();
            let meta = fs::read_to_string(record.join("meta.json")).unwrap();
            assert!(meta.contains(&digest(echo())), "{meta}");
        }
        // Half a file of one and half of the other is a third component, or none.
        6 | 8 => assert_eq!(finished.text(), "", "{}", finished.said()),
        _ => panic!("{}", finished.said()),
    }
    code
}

#[test]
fn by_renaming_over_it() {
    race(|path, bytes, turn| {
        let new = path.with_extension(format!("new{}", turn % 2));
        fs::write(&new, bytes).unwrap();
        fs::rename(new, path).unwrap();
    });
}

#[test]
fn by_writing_into_it() {
    race(|path, bytes, _| fs::write(path, bytes).unwrap());
}

#[test]
fn by_a_second_name() {
    race(|path, bytes, turn| {
        let target = path.with_extension(format!("named{}", turn % 2));
        fs::write(&target, bytes).unwrap();
        let new = path.with_extension("second");
        let _ = fs::remove_file(&new);
        fs::hard_link(&target, &new).unwrap();
        fs::rename(new, path).unwrap();
    });
}

/// The folder that it lies in is a link.
#[test]
fn by_turning_its_folder() {
    let project = one_step();
    grant(&project, echo(), &[]);
    let folder = project.path().join("folder");
    for (name, component) in [("good", echo()), ("evil", misbehave())] {
        let place = project.path().join(name);
        fs::create_dir(&place).unwrap();
        fs::copy(component, place.join("backend.wasm")).unwrap();
    }
    std::os::unix::fs::symlink("good", &folder).unwrap();
    let turn = |turn: usize| {
        let new = project.path().join("turned");
        let to = if turn.is_multiple_of(2) {
            "evil"
        } else {
            "good"
        };
        std::os::unix::fs::symlink(to, &new).unwrap();
        fs::rename(new, &folder).unwrap();
    };
    race_in(&project, &folder.join("backend.wasm"), turn);
}

#[test]
fn by_turning_a_link() {
    race(|path, bytes, turn| {
        let target = path.with_extension(format!("target{}", turn % 2));
        fs::write(&target, bytes).unwrap();
        let new = path.with_extension("link");
        let _ = fs::remove_file(&new);
        std::os::unix::fs::symlink(&target, &new).unwrap();
        fs::rename(new, path).unwrap();
    });
}

fn runtime(code_cache: Option<CodeCache>) -> Arc<Runtime> {
    let config = RuntimeConfig {
        code_cache,
        // A test has a `main` of its own, and none that reads components.
        worker: vec![hm_tests::hm().into()],
        ..RuntimeConfig::default()
    };
    Runtime::new(config).unwrap()
}

/// The loader alone, which is what stands between the file and the grant, far more often: what
/// it calls by a digest is what has that digest, from its cache and from the very bytes.
#[test]
fn two_thousand_times_in_the_loader() {
    const LOADS: usize = 2_000;
    // Of each; what is read in the middle of a change is neither.
    const WHOLE: usize = 50;
    let cache = hm_tests::shared_folder("embedded");
    let cached = runtime(Some(CodeCache::new(cache.join("code"), cache.join("key"))));
    let fresh = runtime(None);
    let mut known = HashMap::new();
    for component in [echo(), misbehave()] {
        let loaded = cached.load(&ComponentSource::File(component.to_owned()));
        let inspection = loaded.unwrap().inspection().clone();
        known.insert(digest(component), inspection);
    }
    let (good, evil) = (fs::read(echo()).unwrap(), fs::read(misbehave()).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backend.wasm");
    fs::write(&path, &good).unwrap();
    let over = AtomicBool::new(false);
    let mut seen: HashMap<String, usize> = HashMap::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0_usize.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let bytes = if turn % 2 == 0 { &evil } else { &good };
                // Over it, by a second name, and now and then into it: half of one and half of
                // the other is nothing that anybody knows.
                let new = folder.path().join(format!("new{}", turn % 2));
                match turn / 2 % 16 {
                    0 => fs::write(&path, bytes).unwrap(),
                    1..12 => {
                        fs::write(&new, bytes).unwrap();
                        fs::rename(&new, &path).unwrap();
                    }
                    _ => {
                        let target = folder.path().join(format!("target{}", turn % 2));
                        fs::write(&target, bytes).unwrap();
                        let _ = fs::remove_file(&new);
                        std::os::unix::fs::symlink(&target, &new).unwrap();
                        fs::rename(&new, &path).unwrap();
                    }
                }
            }
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        for turn in 0.. {
            let has_seen_both = seen.values().filter(|times| **times >= WHOLE).count() == 2;
            if turn >= LOADS && has_seen_both || Instant::now() > deadline {
                break;
            }
            let Ok(file) = cached.read(&ComponentSource::File(path.clone())) else {
                continue;
            };
            let named = file.digest();
            let Some(expected) = known.get(&named) else {
                continue;
            };
            let examined = if turn % 100 == 0 {
                fresh.examine(file)
            } else {
                cached.examine(file)
            };
            assert_eq!(examined.unwrap().inspection(), expected);
            *seen.entry(named).or_default() += 1;
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(
        seen.len() == 2 && seen.values().all(|times| *times >= WHOLE),
        "{seen:?}"
    );
}

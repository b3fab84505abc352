//! Files that are swapped while `hm` looks at them (L7): what runs is what was allowed.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

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

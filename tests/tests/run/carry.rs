//! A cache that is saved on one machine and restored on another.

use std::fs;
use std::path::Path;

use hm_tests::{Finished, Project};

use crate::build;

const PIPELINE: &str = "image = \"host\"\n\
    [steps.tool]\n\
    run = '''\n\
    mkdir -p made/deep; echo one > made/tool; ln -s tool made/link; ln made/tool made/hard\n\
    chmod 750 made/deep; : > 'made/.wh.odd'; rm -r gone; rm -r again; mkdir again; echo x > again/new\n\
    '''\n\
    cache = \"forever\"\n\
    [steps.more]\nfrom = \"tool\"\nrun = \"echo two > made/more; rm made/link\"\ncache = \"forever\"\n\
    [steps.use]\nfrom = \"more\"\n\
    run = '''\n\
    cat made/tool made/more; stat -c '%a %h' made/deep made/hard; ls -A made again; ls gone 2>&1 | tail -1\n\
    '''\n";

/// A project with files that the first step removes.
fn project() -> Project {
    Project::toml(PIPELINE)
        .file("gone/file", "x")
        .file("again/old", "x")
}

fn hits(project: &Project) -> (bool, bool, Vec<String>) {
    let build = build(project, &[], 0);
    let seen = build.step("use").stdout();
    (
        build.step("tool").is_cached,
        build.step("more").is_cached,
        seen.into_iter().map(str::to_owned).collect(),
    )
}

#[track_caller]
fn restore(project: &Project, from: &Path) -> Finished {
    project.hm(["cache", "restore"]).arg(from).run()
}

fn kept(project: &Project) -> usize {
    fs::read_dir(project.state().join("layers/kept")).map_or(0, Iterator::count)
}

#[test]
fn a_restored_cache_is_as_good_as_the_one_that_was_saved() {
    let here = project();
    let (_, _, first) = hits(&here);
    let out = tempfile::tempdir().unwrap();
    let (folder, file) = (out.path().join("folder"), out.path().join("cache.tar"));
    let save = |to: &Path| here.hm(["cache", "save"]).arg(to).run().expect(0);
    assert!(save(&folder).text().starts_with("saved 2 snapshots in "));
    assert!(save(&file).text().starts_with("saved 2 snapshots"));
    let piped = here.hm(["cache", "save", "-"]).run().expect(0);
    assert!(piped.errors().contains("saved 2 snapshots"));
    let stdin = out.path().join("piped.tar");
    fs::write(&stdin, &piped.stdout).unwrap();
    for from in [&folder, &file, &stdin] {
        let there = project();
        assert!(
            restore(&there, from)
                .expect(0)
                .text()
                .starts_with("restored 2 snapshots")
        );
        let (tool, more, seen) = hits(&there);
        assert!(tool && more, "both are found");
        assert_eq!(seen, first, "and are the same");
    }
    let there = project();
    there
        .hm(["cache", "restore", "-"])
        .stdin(fs::read(&file).unwrap())
        .run()
        .expect(0);
    let again = restore(&there, &folder).expect(0);
    assert!(
        again.text().contains("2 were here already"),
        "{}",
        again.text()
    );
    assert!(hits(&there).0);
}

/// The same content gives the same files, so that a CI's cache step sees no change.
#[test]
fn saving_again_changes_nothing() {
    let here = project();
    hits(&here);
    let out = tempfile::tempdir().unwrap();
    let names = |folder: &str| {
        let blobs = out.path().join(folder).join("blobs/sha256");
        let mut names: Vec<_> = fs::read_dir(blobs)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    for folder in ["one", "two", "one"] {
        here.hm(["cache", "save"])
            .arg(out.path().join(folder))
            .run()
            .expect(0);
    }
    assert_eq!(names("one"), names("two"));
}

#[test]
fn what_was_changed_on_the_way_is_refused_whole() {
    let here = project();
    hits(&here);
    let out = tempfile::tempdir().unwrap();
    let saved = out.path().join("saved");
    here.hm(["cache", "save"]).arg(&saved).run().expect(0);
    let blobs: Vec<_> = fs::read_dir(saved.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let there = project();
    for blob in &blobs {
        let whole = fs::read(blob).unwrap();
        let mut changed = whole.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(blob, changed).unwrap();
        let name = blob.file_name().unwrap().to_str().unwrap();
        restore(&there, &saved)
            .expect(4)
            .says(&[&format!("sha256:{name} was changed"), "nothing was kept"]);
        assert_eq!(kept(&there), 0);
        fs::remove_file(blob).unwrap();
        restore(&there, &saved).expect(4).says(&["is missing"]);
        assert_eq!(kept(&there), 0);
        fs::write(blob, whole).unwrap();
    }
    let (tool, more, _) = hits(&there);
    assert!(!tool && !more, "nothing of it was kept");
    fs::write(saved.join("hm-cache.json"), r#"{"format":9,"index":""}"#).unwrap();
    restore(&there, &saved)
        .expect(4)
        .says(&["has the format 9"]);
    restore(&there, out.path())
        .expect(4)
        .says(&["it has no hm-cache.json"]);
    restore(&there, &out.path().join("nowhere"))
        .expect(2)
        .says(&["cannot read"]);
}

#[test]
fn what_is_restored_belongs_to_the_repository_of_the_user() {
    let here = project();
    hits(&here);
    let out = tempfile::tempdir().unwrap();
    let saved = out.path().join("saved.tar");
    here.hm(["cache", "save"]).arg(&saved).run().expect(0);
    let bytes = fs::read(&saved).unwrap();
    let root = here.path().to_str().unwrap();
    assert!(
        !bytes
            .windows(root.len())
            .any(|part| part == root.as_bytes()),
        "names this machine"
    );
    // Another repository with the same steps in the same state does not see it.
    let there = project();
    restore(&there, &saved).expect(0);
    let other = project().env_for_all("HM_STATE_DIR", there.state());
    assert!(!hits(&other).0, "it belongs to another repository");
    assert!(hits(&there).0);
    let outside = tempfile::tempdir().unwrap();
    there
        .hm(["cache", "restore"])
        .arg(&saved)
        .folder(outside.path().to_str().unwrap())
        .run()
        .expect(2)
        .says(&["a cache belongs to a repository"]);
}

#[test]
fn only_what_the_last_runs_used_is_saved_unless_all_is_asked_for() {
    let here = project();
    hits(&here);
    here.write(".hm/ci.toml", PIPELINE.replace("echo one", "echo 1"));
    hits(&here);
    let out = tempfile::tempdir().unwrap();
    let save = |name: &str, flags: &[&str]| {
        let to = out.path().join(name);
        here.hm(["cache", "save"])
            .arg(to)
            .args(flags)
            .run()
            .expect(0)
            .text()
    };
    assert!(save("last", &[]).starts_with("saved 2 snapshots"));
    assert!(save("all", &["--all"]).starts_with("saved 4 snapshots"));
    assert!(save("ci", &["--pipeline", "ci"]).starts_with("saved 2 snapshots"));
    here.hm(["cache", "save", "x", "--pipeline", "other"])
        .run()
        .expect(2)
        .says(&["no run of the pipeline `other`"]);
    fs::create_dir(out.path().join("mine")).unwrap();
    fs::write(out.path().join("mine/file"), "x").unwrap();
    here.hm(["cache", "save"])
        .arg(out.path().join("mine"))
        .run()
        .expect(4)
        .says(&["is no saved cache, and not empty"]);
    assert!(out.path().join("mine/file").exists());
}

/// Whatever moment it is killed at, the next start finds all of it.
#[test]
fn a_killed_restore_leaves_nothing() {
    let here = project();
    hits(&here);
    let out = tempfile::tempdir().unwrap();
    let saved = out.path().join("cache.tar");
    here.hm(["cache", "save"]).arg(&saved).run().expect(0);
    let there = project();
    for pause in [5, 15, 25, 35, 50] {
        let running = there
            .hm(["cache", "restore"])
            .arg(&saved)
            .beside_others()
            .start();
        std::thread::sleep(std::time::Duration::from_millis(pause));
        running.signal(rustix::process::Signal::KILL);
        let _ = running.wait();
    }
    let listed = there.hm(["cache", "clear"]).run().expect(0);
    assert!(listed.text().starts_with("removed"), "{}", listed.text());
    assert_eq!(kept(&there), 0);
    for folder in ["images/making", "trash"] {
        let left = fs::read_dir(there.state().join(folder)).unwrap().count();
        assert_eq!(left, 0, "{folder}");
    }
    restore(&there, &saved).expect(0);
    assert!(hits(&there).0);
}

/// A save that is killed leaves nothing beside its target, and the next one ends it.
#[test]
fn a_killed_save_is_told_and_ended_by_the_next() {
    let here = project();
    hits(&here);
    let out = tempfile::tempdir().unwrap();
    let (file, folder) = (out.path().join("cache.tar"), out.path().join("folder"));
    for pause in [5, 10, 20, 30] {
        for to in [&file, &folder] {
            let running = here.hm(["cache", "save"]).arg(to).beside_others().start();
            std::thread::sleep(std::time::Duration::from_millis(pause));
            running.signal(rustix::process::Signal::KILL);
            let _ = running.wait();
        }
    }
    // As one leaves it that is killed between two system calls.
    fs::write(out.path().join(".cache.tar.hm-new"), "half").unwrap();
    for to in [&file, &folder] {
        here.hm(["cache", "save"]).arg(to).run().expect(0);
        restore(&project(), to).expect(0);
    }
    let mut names: Vec<_> = fs::read_dir(out.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["cache.tar", "folder"]);
    let blobs = fs::read_dir(folder.join("blobs/sha256")).unwrap().flatten();
    let stale = blobs.filter(|blob| blob.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(stale.count(), 0);
}

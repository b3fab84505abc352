//! A state folder that cannot be used: exit code 4, with the cause and what to do.

use hm_tests::{Finished, Project, cannot, hm};

/// Runs with a file system of this kind as state folder, in a mount namespace of its own.
fn on(project: &Project, options: &str) -> Option<Finished> {
    let state = project.state().display();
    std::fs::create_dir_all(project.state()).unwrap();
    let script = format!(
        "mount -t tmpfs -o mode=700,{options} tmpfs '{state}' || exit 99\n'{}' run --format json",
        hm().display()
    );
    let finished = project
        .program("unshare")
        .args(["--mount", "sh", "-c", &script])
        .run();
    if matches!(finished.code(), Some(99) | None) || finished.errors().contains("unshare") {
        cannot("a state folder on a small file system", &finished.errors());
        return None;
    }
    Some(finished)
}

fn project() -> Project {
    Project::toml("[steps.a]\nimage = \"host\"\nrun = \"echo one\"")
}

#[test]
fn a_full_one() {
    let project = project();
    if let Some(finished) = on(&project, "size=16k,nr_inodes=100") {
        finished
            .expect(4)
            .says(&[project.state().to_str().unwrap(), "HM_STATE_DIR"]);
    }
}

#[test]
fn one_without_inodes() {
    let project = project();
    if let Some(finished) = on(&project, "size=1m,nr_inodes=4") {
        finished
            .expect(4)
            .says(&[project.state().to_str().unwrap(), "HM_STATE_DIR"]);
    }
}

#[test]
fn one_that_cannot_be_written() {
    let project = project();
    if let Some(finished) = on(&project, "ro") {
        finished
            .expect(4)
            .says(&["Read-only file system", "HM_STATE_DIR"]);
    }
}

/// As in a container: an overlay cannot carry another one's layers.
#[test]
fn one_on_an_overlay() {
    let project = project();
    let state = project.state().display();
    let below = project.config().with_file_name("below");
    let script = format!(
        "mkdir -p '{0}/lower' '{0}/upper' '{0}/work' '{state}' && \
         mount -t overlay overlay -o lowerdir='{0}/lower',upperdir='{0}/upper',workdir='{0}/work' '{state}' && \
         chmod 700 '{state}' || exit 99\n'{1}' run --format json",
        below.display(),
        hm().display()
    );
    let finished = project
        .program("unshare")
        .args(["--mount", "sh", "-c", &script])
        .run();
    if matches!(finished.code(), Some(99) | None) || finished.errors().contains("unshare") {
        cannot("a state folder on an overlay", &finished.errors());
        return;
    }
    finished
        .expect(4)
        .says(&["lies on overlayfs", "HM_STATE_DIR", "volume"]);
}

#[test]
fn a_file_in_its_place() {
    let project = project();
    std::fs::write(project.state(), "a file").unwrap();
    project.run().run().expect(4).says(&["HM_STATE_DIR"]);
}

/// Room is gone in the middle of a build: the build fails, and says so; hm does not.
#[test]
fn one_that_fills_up() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\nrun = \"head -c 200M /dev/zero > big && echo written\"",
    );
    if let Some(finished) = on(&project, "size=24m") {
        let code = finished.code().unwrap();
        assert!([1, 4].contains(&code), "{}", finished.said());
        let told = finished.said().to_lowercase();
        assert!(
            told.contains("no space") || told.contains("disk"),
            "{}",
            finished.said()
        );
    }
}

#[test]
fn a_registry_that_is_broken_is_set_aside() {
    let project = project();
    project.run().run().expect(0);
    std::fs::write(
        project.state().join("registry.sqlite"),
        "this is no database, and never was one",
    )
    .unwrap();
    for name in ["registry.sqlite-wal", "registry.sqlite-shm"] {
        let _ = std::fs::remove_file(project.state().join(name));
    }
    project.run().run().expect(0);
}

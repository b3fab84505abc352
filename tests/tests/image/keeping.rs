//! Lists, names that go, and what a killed `hm` leaves.

use std::fs;
use std::time::{Duration, Instant};

use hm_tests::image::{Image, busybox};
use hm_tests::{Archive, Project};
use serde_json::{Value, json};

use crate::{archive, import, pipeline};

fn listed(project: &Project) -> Vec<Value> {
    let done = project.hm(["image", "list", "--json"]).run().expect(0);
    let all: Value = serde_json::from_slice(&done.stdout).expect("one JSON object");
    all["images"].as_array().expect("a list").clone()
}

fn layers(project: &Project) -> usize {
    ["trusted", "user"]
        .iter()
        .map(|flavour| {
            let folder = project.state().join("images/layers").join(flavour);
            fs::read_dir(folder).unwrap().count()
        })
        .sum()
}

#[test]
fn names_are_listed_and_removed() {
    let project = Project::new();
    let root = |text: &str| Archive::new().file("a", text).finish();
    import(&project, &root("1"), "one").expect(0);
    import(&project, &root("2"), "team/two:v2").expect(0);
    import(&project, &root("1"), "same").expect(0);
    let names: Vec<_> = listed(&project)
        .iter()
        .map(|image| image["name"].clone())
        .collect();
    assert_eq!(names, ["one:latest", "same:latest", "team/two:v2"]);
    assert_eq!(layers(&project), 2);
    let text = project.hm(["image", "ls"]).run().expect(0).text();
    assert!(
        text.contains("team/two:v2") && text.contains("linux/"),
        "{text}"
    );
    project.hm(["image", "remove", "one"]).run().expect(0);
    assert_eq!(layers(&project), 2, "another name stands for it");
    let done = project.hm(["image", "rm", "same:latest"]).run().expect(0);
    assert!(
        done.text().contains("freed") && done.text().contains("1 layer"),
        "{}",
        done.text()
    );
    assert_eq!(layers(&project), 1);
    project
        .hm(["image", "remove", "team/twoo:v2"])
        .run()
        .expect(2)
        .says(&[
            "there is no image `team/twoo:v2` here",
            "did you mean `team/two:v2`?",
        ]);
}

#[test]
fn pruning_keeps_what_cannot_be_pulled_again() {
    let project = Project::new();
    import(&project, &Archive::new().file("a", "a").finish(), "mine").expect(0);
    project.hm(["image", "prune"]).run().expect(0);
    assert_eq!(listed(&project).len(), 1, "it was imported");
    let done = project
        .hm(["image", "prune", "--all", "--json"])
        .run()
        .expect(0);
    let gone: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(
        (&gone["names"], &gone["images"], &gone["layers"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!((listed(&project).len(), layers(&project)), (0, 0));
}

/// An image under a running machine stays until the run ends.
#[test]
fn what_a_run_uses_is_not_taken_away() {
    let Some(root) = busybox("images in use") else {
        return;
    };
    let project = Project::new();
    import(&project, &root.finish(), "base").expect(0);
    project.write(
        ".hm/ci.toml",
        pipeline("base", &["touch go; while ! test -e /tmp/never; do cat /etc/marker > /dev/null || exit 9; sleep 0.1; done"]),
    );
    let running = project.run().beside_others().start();
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read_dir(project.state().join("machines")).is_ok_and(|mut all| all.next().is_none()) {
        assert!(Instant::now() < deadline, "no machine");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let done = project
        .hm(["image", "remove", "base"])
        .beside_others()
        .run()
        .expect(0);
    assert!(
        done.text().contains("when no running hm uses images"),
        "{}",
        done.text()
    );
    assert_eq!(layers(&project), 1);
    running.signal(rustix::process::Signal::INT);
    running.wait().expect(130);
    project.hm(["image", "prune"]).run().expect(0);
    assert_eq!(layers(&project), 0, "the next start takes it");
}

/// Whatever moment it is killed at, the next start finds all of it.
#[test]
fn a_killed_import_leaves_nothing() {
    let project = Project::new();
    let mut large = Archive::new();
    for number in 0..400 {
        large = large.file(format!("f{number}"), vec![number as u8; 50_000]);
    }
    let image = Image::new(vec![large.finish()], &json!({}));
    let path = archive(&project, "saved.tar", &image.docker_archive(&["large"]));
    for pause in [5, 20, 40, 60, 90, 130, 200] {
        let running = project
            .hm(["image", "import"])
            .arg(&path)
            .beside_others()
            .start();
        std::thread::sleep(Duration::from_millis(pause));
        running.signal(rustix::process::Signal::KILL);
        let _ = running.wait();
    }
    // Waits for its own sweep.
    project.hm(["image", "prune", "--all"]).run().expect(0);
    let images = project.state().join("images");
    for folder in ["known", "layers/trusted", "layers/user", "making"] {
        let left: Vec<_> = fs::read_dir(images.join(folder))
            .unwrap()
            .flatten()
            .collect();
        assert!(left.is_empty(), "{folder}: {left:?}");
    }
    assert_eq!(
        fs::read_dir(project.state().join("trash")).unwrap().count(),
        0
    );
    project.hm(["image", "import"]).arg(&path).run().expect(0);
}

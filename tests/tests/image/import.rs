//! The forms in which an image can be brought in.

use std::fs;
use std::io::Write;

use hm_tests::image::{Image, busybox};
use hm_tests::{Archive, Project};
use serde_json::{Value, json};

use crate::{archive, import, pipeline};

/// Runs a step that looks at the image.
#[track_caller]
fn assert_runs(project: &Project, image: &str) {
    project.write(".hm/ci.toml", pipeline(image, &["cat /etc/marker"]));
    let build = project.run().run().expect(0).build();
    assert_eq!(build.step("s0").stdout(), ["in the image"]);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_archives_and_standard_input_are_read() {
    let Some(root) = busybox("forms of archives") else {
        return;
    };
    let root = root.finish();
    let project = Project::new();
    let zstd = zstd::encode_all(&root[..], 1).unwrap();
    let mut ids = Vec::new();
    for (name, bytes) in [("plain", &root), ("gzip", &gzip(&root)), ("zstd", &zstd)] {
        let done = import(&project, bytes, name).expect(0);
        let text = done.text();
        ids.push(text.rsplit_once(": ").unwrap().1.to_owned());
    }
    let done = project
        .hm(["image", "import", "-", "piped"])
        .stdin(gzip(&root))
        .run()
        .expect(0);
    ids.push(done.text().rsplit_once(": ").unwrap().1.to_owned());
    ids.dedup();
    assert_eq!(ids.len(), 1, "the same content is the same image: {ids:?}");
    let layers = fs::read_dir(project.state().join("images/layers/trusted"))
        .unwrap()
        .count()
        + fs::read_dir(project.state().join("images/layers/user"))
            .unwrap()
            .count();
    assert_eq!(layers, 1, "and is there once");
    assert_runs(&project, "piped");
}

#[test]
fn an_oci_layout_is_read_as_a_folder_and_as_an_archive() {
    let Some(root) = busybox("OCI layouts") else {
        return;
    };
    let plain = root.finish();
    let own = hm_tests::image::digest(&plain);
    let image = Image::packed(vec![gzip(&plain)], vec![own], &json!({}));
    let named = image.layout(&json!({ "org.opencontainers.image.ref.name": "team/base:v2" }));
    let project = Project::new();
    let folder = project.path().join("layout");
    let mut tar = Archive::new().mode(0o644);
    for (name, content) in &named {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        tar = tar.file(name, content);
    }
    let done = project
        .hm(["image", "import", "layout", "folder"])
        .run()
        .expect(0);
    let id = hm_tests::image::digest(&image.manifest());
    assert_eq!(
        done.text(),
        format!("imported folder:latest: {id}\n"),
        "the manifest's own digest"
    );
    assert_runs(&project, "folder");
    let path = archive(&project, "layout.tar", &tar.finish());
    let done = project.hm(["image", "import"]).arg(path).run().expect(0);
    assert_eq!(
        done.text(),
        format!("imported team/base:v2: {id}\n"),
        "its own name"
    );
    assert_runs(&project, "team/base:v2");
}

#[test]
fn a_damaged_layout_is_refused_by_its_digest() {
    let Some(root) = busybox("damaged layouts") else {
        return;
    };
    let image = Image::new(vec![root.finish()], &json!({}));
    let project = Project::new();
    for damaged in 1..5 {
        let mut tar = Archive::new().mode(0o644);
        for (index, (name, content)) in image.layout(&Value::Null).into_iter().enumerate() {
            let mut content = content;
            if index == damaged {
                let middle = content.len() / 2;
                content[middle] ^= 1;
            }
            tar = tar.file(name, content);
        }
        let done = import(&project, &tar.finish(), "evil");
        assert_eq!(done.code(), Some(4), "{}", done.said());
    }
    let none = project.hm(["image", "list"]).run().expect(0);
    assert!(none.text().starts_with("no images"), "{}", none.text());
}

#[test]
fn a_layer_that_is_not_what_the_configuration_says_is_refused() {
    let layer = Archive::new().file("a", "a").finish();
    let lie = hm_tests::image::digest(b"something else");
    let image = Image::packed(vec![layer], vec![lie.clone()], &json!({}));
    let project = Project::new();
    import(&project, &image.docker_archive(&["evil"]), "evil")
        .expect(4)
        .says(&["is refused: its digest is", &lie]);
}

#[test]
fn an_image_for_another_processor_is_told() {
    let layer = Archive::new().file("a", "a").finish();
    let mut image = Image::new(vec![layer], &json!({}));
    let mut config: Value = serde_json::from_slice(&image.config).unwrap();
    config["architecture"] = "s390x".into();
    image.config = config.to_string().into_bytes();
    let project = Project::new();
    import(&project, &image.docker_archive(&["other"]), "other")
        .expect(4)
        .says(&["it is made for linux/s390x, and this machine is linux/"]);
}

#[test]
fn names_are_asked_for_where_there_are_none() {
    let project = Project::new();
    let path = archive(
        &project,
        "root.tar",
        &Archive::new().file("a", "a").finish(),
    );
    project
        .hm(["image", "import"])
        .arg(&path)
        .run()
        .expect(4)
        .says(&["it has no name of its own", "NAME[:TAG]"]);
    project
        .hm(["image", "import", "nowhere.tar", "x"])
        .run()
        .expect(2)
        .says(&["cannot read nowhere.tar"]);
    project
        .hm(["image", "import"])
        .arg(&path)
        .arg("Not/A/Name!")
        .run()
        .expect(4)
        .says(&["no name of an image"]);
}
